CREATE TABLE authorization_codes (
    id                uuid PRIMARY KEY,
    grant_id          uuid NOT NULL,
    session_id        uuid NOT NULL REFERENCES sessions,
    redirect_uri      text NOT NULL,
    code_challenge    text,
    expires_at        timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX authorization_codes_session ON authorization_codes (session_id);
COMMENT ON TABLE authorization_codes IS 'A code; its secret is an HMAC of its id and is not stored.';
COMMENT ON COLUMN authorization_codes.id IS 'UUIDv7.';
COMMENT ON COLUMN authorization_codes.grant_id IS 'Its family.';
COMMENT ON COLUMN authorization_codes.session_id IS 'The session it hangs on.';
COMMENT ON COLUMN authorization_codes.redirect_uri IS 'Where it was sent; compared exactly when the token request names one.';
COMMENT ON COLUMN authorization_codes.code_challenge IS 'PKCE challenge, S256; null only for a confidential client registered with require_pkce=false.';
COMMENT ON COLUMN authorization_codes.expires_at IS 'Until when it can be redeemed.';
INSERT INTO partitioned_tables VALUES ('authorization_codes', true, '6 hours', '1 hour');
SELECT maintain_partitions(now());
COMMENT ON COLUMN grants.id IS 'UUIDv7.';
COMMENT ON COLUMN authorization_requests.code_id IS 'The code it was answered with: a double submit gets the same.';
ALTER TABLE grants DROP COLUMN redirect_uri, DROP COLUMN code_challenge, DROP COLUMN code_expires_at;
