-- How many unused registrations a wide IPv6 network holds is bounded, too: one customer has many of the networks that
-- registered_from tells apart.
ALTER TABLE clients ADD COLUMN registered_near bytea;
COMMENT ON COLUMN clients.registered_near IS 'Of a client that registered itself and was not used yet: from which IPv6 /48, as a keyed hash; null for IPv4.';
-- One index for both: every look-up that joins clients locks all their indexes.
DROP INDEX clients_unused;
CREATE INDEX clients_unused ON clients (registered_from, registered_near) WHERE registration_generation IS NOT NULL AND used_at IS NULL;
