-- Choosing a new password by mail does not make a browser one that its user has signed in with.
ALTER TABLE devices ADD COLUMN signed_in_at timestamptz;
UPDATE devices SET signed_in_at = created_at;
COMMENT ON COLUMN devices.created_at IS 'When the browser became known.';
COMMENT ON COLUMN devices.signed_in_at IS 'When the user first signed in there. Null: they have only chosen a new password there.';
