COMMENT ON TABLE used_jtis IS 'Client assertions already used (RFC 7523 section 3); exp is at most five minutes ahead.';
COMMENT ON COLUMN used_jtis.expires_at IS 'The assertion''s exp.';
