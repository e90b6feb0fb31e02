ALTER TABLE devices DROP COLUMN signed_in_at;
COMMENT ON COLUMN devices.created_at IS 'When the person first signed in there.';
