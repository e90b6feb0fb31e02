-- How many unused registrations one network holds is bounded, so that it cannot use up what is there for all.
ALTER TABLE clients ADD COLUMN registered_from bytea;
COMMENT ON COLUMN clients.registered_from IS 'Of a client that registered itself and was not used yet: from which network, as a keyed hash.';
-- Instead of one by time, not beside it: every look-up that joins clients locks all their indexes.
DROP INDEX clients_unused;
CREATE INDEX clients_unused ON clients (registered_from) WHERE registration_generation IS NOT NULL AND used_at IS NULL;
