-- A family has one code, and knows whether that was redeemed: the redemption writes one row of it instead of two, and the
-- table of codes, cut into partitions that an UPDATE would open one and all, is only ever added to.

-- In the order in which a redemption takes them, and before the first look: no code is redeemed unseen meanwhile.
LOCK TABLE authorization_codes, grants IN ACCESS EXCLUSIVE MODE;
ALTER TABLE grants ADD COLUMN redeemed_at timestamptz;
COMMENT ON COLUMN grants.redeemed_at IS 'When its code was redeemed; null: not yet, or it began without one.';
UPDATE grants g SET redeemed_at = k.consumed_at FROM authorization_codes k
    WHERE k.grant_id = g.id AND k.consumed_at IS NOT NULL;
ALTER TABLE authorization_codes DROP COLUMN consumed_at;
