-- A code founds its family and is the only one of it, so it is part of the family's row: a code costs one row instead of two,
-- and one check that its session is there. It hangs on the family's privileged session where there is one, else on its session.

-- Codes that are on their way at this moment, for a minute at most, are void: whoever has one signs in again.
LOCK TABLE authorization_codes, grants IN ACCESS EXCLUSIVE MODE;
ALTER TABLE grants
    ADD COLUMN redirect_uri    text,
    ADD COLUMN code_challenge  text,
    ADD COLUMN code_expires_at timestamptz;
COMMENT ON COLUMN grants.id IS 'UUIDv7; also that of its code, whose secret is an HMAC of it and is not stored.';
COMMENT ON COLUMN grants.redirect_uri IS 'Where its code was sent; compared exactly when the token request names one.';
COMMENT ON COLUMN grants.code_challenge IS 'PKCE challenge, S256; null only for a confidential client registered with require_pkce=false.';
COMMENT ON COLUMN grants.code_expires_at IS 'Until when its code can be redeemed; null: it began without one.';
COMMENT ON COLUMN authorization_requests.code_id IS 'The code it was answered with, and so its family: a double submit gets the same.';
DELETE FROM partitioned_tables WHERE name = 'authorization_codes';
DROP TABLE authorization_codes;
