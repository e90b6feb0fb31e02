DROP TABLE reset_requests;
DROP INDEX password_resets_user;
CREATE INDEX password_resets_user ON password_resets (user_id);
COMMENT ON COLUMN password_resets.created_at IS 'When it was asked for; a password that changed since kills it.';
