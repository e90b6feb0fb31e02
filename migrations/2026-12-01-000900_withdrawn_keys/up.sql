-- A key that may be in other hands verifies nothing any more, not even a hint.
ALTER TABLE signing_keys ADD COLUMN withdrawn_at timestamptz;
COMMENT ON COLUMN signing_keys.withdrawn_at IS 'When an operator retired it at once: from then on nothing that it signed is believed.';
