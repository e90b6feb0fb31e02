-- The version before reads a missing member as its default, and passes over one that it does not know.
COMMENT ON TABLE used_jtis IS 'The jti of client assertions already used (RFC 7523 section 3), once for the window of time of that use and once for the next.';
