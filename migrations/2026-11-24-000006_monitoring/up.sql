-- Who watches is told apart from who is watched.
COMMENT ON COLUMN audit_events.actor IS 'Who did it: user, visitor, client, administrator (the detail says who), operator or server.';
COMMENT ON COLUMN sessions.locked_at IS 'Since when every credential of it is refused. Its idle time stands still, its absolute end does not.';
COMMENT ON COLUMN sessions.lock_reason IS 'Why it was locked; the person is told.';
