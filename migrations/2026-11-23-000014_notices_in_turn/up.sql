-- The outbox is claimed party by party, so that one with a long list does not stand before the others.
CREATE INDEX notices_waiting ON notices (client_id, due_at, id) WHERE delivered_at IS NULL AND abandoned_at IS NULL;
DROP INDEX notices_due;
