DROP INDEX clients_unused;
CREATE INDEX clients_unused ON clients (registered_from) WHERE registration_generation IS NOT NULL AND used_at IS NULL;
ALTER TABLE clients DROP COLUMN registered_near;
