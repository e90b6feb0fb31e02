COMMENT ON COLUMN audit_events.actor IS 'Who did it: user, visitor, client, operator or server.';
COMMENT ON COLUMN sessions.locked_at IS 'Since when every credential of it is refused.';
COMMENT ON COLUMN sessions.lock_reason IS 'Why it was locked.';
