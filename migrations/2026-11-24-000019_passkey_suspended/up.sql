-- What was proved before a passkey was suspended does not count, also once that passkey is withdrawn.

CREATE INDEX credentials_suspended ON credentials (user_id) WHERE suspended_at IS NOT NULL;
COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, consent_withdrawn, renewed, expired, idle, user_disabled, rights_lost, passkey_suspended, client_disabled, ended_with_user, ended_with_client, ended_with_parent.';
