DROP TABLE elevation_requests;
DROP INDEX sessions_user;
CREATE INDEX sessions_user ON sessions (user_id) WHERE ended_at IS NULL AND user_id IS NOT NULL;
ALTER TABLE users DROP COLUMN groups;
