-- What a configuration declares is remembered, so that what is missing from a later one is noticed: a privileged scope that
-- nobody declares any more must not become an ordinary one.

CREATE TABLE scopes (
    name text PRIMARY KEY,
    privileged_at timestamptz,
    declared_at timestamptz NOT NULL
);
COMMENT ON TABLE scopes IS 'Which scopes were ever declared. What they demand is the configuration''s to say.';
COMMENT ON COLUMN scopes.name IS 'As it stands in requests.';
COMMENT ON COLUMN scopes.privileged_at IS 'Since when it is privileged, by the latest declaration; null: it is not.';
COMMENT ON COLUMN scopes.declared_at IS 'When it was first declared.';

CREATE TABLE resources (
    identifier text PRIMARY KEY,
    declared_at timestamptz NOT NULL
);
COMMENT ON TABLE resources IS 'Which resource servers (RFC 8707) were ever declared. What they are is the configuration''s to say.';
COMMENT ON COLUMN resources.identifier IS 'The value of resource, and of aud.';
COMMENT ON COLUMN resources.declared_at IS 'When it was first declared.';

ALTER TABLE clients ADD COLUMN declared_at timestamptz;
COMMENT ON COLUMN clients.declared_at IS 'When the configuration first declared it; null: it was registered otherwise.';

ALTER TABLE users ADD COLUMN declared_at timestamptz;
COMMENT ON COLUMN users.declared_at IS 'When the configuration first declared the person; null: they were added otherwise.';

UPDATE users SET declared_at = created_at
WHERE id IN (SELECT user_id FROM credentials WHERE declared IS NOT NULL);
