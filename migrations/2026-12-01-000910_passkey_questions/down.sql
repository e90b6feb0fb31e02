COMMENT ON TABLE used_jtis IS 'The jti of client assertions already used (RFC 7523 section 3), once for the window of time of that use and once for the next; windows are a little longer than the hour for which an assertion may be good.';
COMMENT ON COLUMN used_jtis.client_id IS 'Whose assertion.';
COMMENT ON COLUMN used_jtis.jti_hash IS 'SHA-256 of its jti.';
