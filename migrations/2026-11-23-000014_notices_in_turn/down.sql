CREATE INDEX notices_due ON notices (due_at) WHERE delivered_at IS NULL AND abandoned_at IS NULL;
DROP INDEX notices_waiting;
