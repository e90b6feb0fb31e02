-- A jti is remembered for two windows of time, whatever the exp beside it: with another exp it was another row.
COMMENT ON TABLE used_jtis IS 'The jti of client assertions already used (RFC 7523 section 3), once for the window of time of that use and once for the next.';
COMMENT ON COLUMN used_jtis.expires_at IS 'The end of the window.';
