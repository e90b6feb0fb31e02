UPDATE clients SET metadata = metadata - 'id_token_claims' WHERE registration_generation IS NOT NULL;

COMMENT ON COLUMN users.groups IS 'What privileged scopes ask for by name (scope.groups).';
COMMENT ON COLUMN consents.scope IS 'The scopes allowed so far.';
