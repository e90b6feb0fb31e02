-- Names in another Unicode form are the same name. PostgreSQL does not know the folding, so the server computes it: for new
-- people at once, for those who are there in a job. A table of its own: every index of users is a lock of each look-up.

CREATE TABLE user_names (
    user_id     uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    key         text UNIQUE,
    conflict_at timestamptz
);
CREATE INDEX user_names_open ON user_names (user_id) WHERE key IS NULL AND conflict_at IS NULL;
COMMENT ON TABLE user_names IS 'Names as they are compared, beside users.username_key. Without a row, the name is found as it is written.';
COMMENT ON COLUMN user_names.user_id IS 'Whose name.';
COMMENT ON COLUMN user_names.key IS 'NFKC, case folded; null: not computed yet, or somebody else''s.';
COMMENT ON COLUMN user_names.conflict_at IS 'When it was found to be somebody else''s: this name is found only as it is written.';

-- In ASCII the folded name is the key that is there.
INSERT INTO user_names (user_id) SELECT id FROM users WHERE octet_length(username) <> char_length(username);
