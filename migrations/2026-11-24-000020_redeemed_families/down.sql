ALTER TABLE authorization_codes ADD COLUMN consumed_at timestamptz;
COMMENT ON COLUMN authorization_codes.consumed_at IS 'When it was redeemed.';
UPDATE authorization_codes k SET consumed_at = g.redeemed_at FROM grants g
    WHERE g.id = k.grant_id AND g.redeemed_at IS NOT NULL;
ALTER TABLE grants DROP COLUMN redeemed_at;
