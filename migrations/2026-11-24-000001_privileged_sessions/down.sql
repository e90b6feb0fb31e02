DROP TABLE step_ups;
ALTER TABLE grants DROP COLUMN privileged_session_id;
ALTER TABLE authorization_requests DROP COLUMN proved_at, DROP COLUMN proved_by, DROP COLUMN proved_acr,
    DROP COLUMN proved_amr, DROP COLUMN declined_at, DROP COLUMN supersede_at;
DROP TABLE ceremonies;
DROP INDEX credentials_user;
DROP INDEX credentials_one_totp;
DROP INDEX credentials_handle;
ALTER TABLE credentials DROP COLUMN label, DROP COLUMN handle, DROP COLUMN passkey, DROP COLUMN sealed,
    DROP COLUMN last_step, DROP COLUMN attested_at, DROP COLUMN last_used_at, DROP COLUMN suspended_at,
    DROP COLUMN suspend_reason;
COMMENT ON COLUMN credentials.secret_hash IS 'Password: Argon2id in PHC form.';
COMMENT ON COLUMN credentials.ended_at IS 'When it was withdrawn.';
