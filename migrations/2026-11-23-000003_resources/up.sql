-- Resource indicators (RFC 8707): a family remembers for which resources it was granted.
ALTER TABLE grants ADD COLUMN resources text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN grants.resources IS 'The resources that the authorization request named (RFC 8707); none: those of its scopes.';
