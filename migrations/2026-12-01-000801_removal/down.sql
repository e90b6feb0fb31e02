DROP FUNCTION drop_audit_partition;
DROP FUNCTION remove_audit_events;
DROP TABLE audit_removals;
DROP FUNCTION audit_class;
DROP INDEX audit_events_kind;
CREATE INDEX sessions_visitors ON sessions (id) WHERE kind = 'visitor';
DROP INDEX sessions_kind, sessions_forgotten, sessions_leaving;
COMMENT ON COLUMN sessions.look_at IS 'It cannot have died by itself before then: when to look again, to tell of its end.';
