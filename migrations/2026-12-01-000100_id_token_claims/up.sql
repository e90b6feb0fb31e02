-- From now on the claims of scopes are in ID tokens by default. Clients that registered themselves keep what they had: nobody
-- vouches for what they do with their ID tokens.
UPDATE clients SET metadata = metadata || '{"id_token_claims": false}'
WHERE registration_generation IS NOT NULL AND NOT metadata ? 'id_token_claims';

COMMENT ON COLUMN users.groups IS 'What privileged scopes ask for by name (scope.groups), and what the scope groups gives to clients.';
COMMENT ON COLUMN consents.scope IS 'What the person allowed: scopes, and resource=URI for each resource that needs no scope.';
