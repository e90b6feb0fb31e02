COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, renewed, expired.';
DROP INDEX sessions_ended;
ALTER TABLE sessions DROP COLUMN look_at;
DROP TABLE notices;
DROP FUNCTION new_id(timestamptz);
