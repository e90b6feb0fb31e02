DROP INDEX clients_unused;
CREATE INDEX clients_unused ON clients (created_at) WHERE registration_generation IS NOT NULL AND used_at IS NULL;
ALTER TABLE clients DROP COLUMN registered_from;
