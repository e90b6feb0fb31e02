COMMENT ON COLUMN audit_events.kind IS 'Kind of the session concerned, or server.';
