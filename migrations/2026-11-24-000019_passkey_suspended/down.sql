COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, consent_withdrawn, renewed, expired, idle, user_disabled, rights_lost, client_disabled, ended_with_user, ended_with_client, ended_with_parent.';
DROP INDEX credentials_suspended;
