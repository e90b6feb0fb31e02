-- A proof counts only while the credential that gave it lives.

ALTER TABLE credentials ADD COLUMN withdrawn_at timestamptz;
COMMENT ON COLUMN credentials.withdrawn_at IS 'Recovery code: when its set was withdrawn, so that what a used code proved counts no more.';
CREATE INDEX credentials_recovery ON credentials (user_id) WHERE kind = 'recovery' AND withdrawn_at IS NULL;

ALTER TABLE sessions
    ADD COLUMN proved_with   uuid[],
    ADD COLUMN proof_lost_at timestamptz;
COMMENT ON COLUMN sessions.proved_with IS 'The credentials whose proof it rests on; a privileged session: of every proof in it. Null: not known.';
COMMENT ON COLUMN sessions.proof_lost_at IS 'When one of those credentials died: a privileged session is dead, a user session is worth no more than a password.';
COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, consent_withdrawn, renewed, expired, idle, user_disabled, rights_lost, passkey_suspended, credential_removed, client_disabled, ended_with_user, ended_with_client, ended_with_parent.';

ALTER TABLE authorization_requests ADD COLUMN proved_with uuid[];
COMMENT ON COLUMN authorization_requests.proved_with IS 'With which credentials.';
CREATE INDEX authorization_requests_proved ON authorization_requests (proved_by)
    WHERE proved_by IS NOT NULL AND completed_at IS NULL;

-- An attested passkey that loses its attestation is another credential from then on: what it proved was proved by hardware.
--
-- The schema withdraws the proof, so no way of losing a credential can forget it. It looks at nothing that a look-up of a
-- token has to lock. A session without a record (an older replica began it) is treated as proved with any of them.
CREATE FUNCTION withdraw_proofs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    died_at timestamptz := greatest(NEW.ended_at, NEW.suspended_at, NEW.withdrawn_at, NEW.changed_at, NEW.last_used_at);
BEGIN
    -- Privileged work holds the person while it begins: it has begun, and is found below, or sees what happened here.
    PERFORM FROM users WHERE id = NEW.user_id FOR NO KEY UPDATE;
    UPDATE sessions SET proof_lost_at = died_at, look_at = least(look_at, died_at)
        WHERE user_id = NEW.user_id AND ended_at IS NULL AND kind = 'privileged' AND proof_lost_at IS NULL
        AND (proved_with IS NULL OR proved_with @> ARRAY[NEW.id]);
    UPDATE authorization_requests SET proved_at = NULL, proved_by = NULL, proved_acr = NULL, proved_amr = NULL, proved_with = NULL
        WHERE proved_by = NEW.user_id AND completed_at IS NULL AND (proved_with IS NULL OR proved_with @> ARRAY[NEW.id]);
    -- A person who changes their password has just shown who they are; other browsers end by their own choice.
    IF NEW.kind <> 'password' THEN
        UPDATE sessions SET proof_lost_at = died_at, acr = 'urn:mooring:acr:pwd',
            amr = CASE WHEN NEW.kind = 'passkey' THEN '{}' ELSE '{pwd}' END::text[]
            WHERE user_id = NEW.user_id AND ended_at IS NULL AND kind = 'user' AND proved_with @> ARRAY[NEW.id];
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION withdraw_proofs IS 'A credential has died: what it proved counts no more.';
CREATE TRIGGER credentials_proofs AFTER UPDATE OF ended_at, suspended_at, withdrawn_at, changed_at, attested_at ON credentials
    FOR EACH ROW WHEN (
        (NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL AND NEW.kind <> 'recovery')
        OR (NEW.suspended_at IS NOT NULL AND OLD.suspended_at IS NULL)
        OR (NEW.withdrawn_at IS NOT NULL AND OLD.withdrawn_at IS NULL)
        OR (NEW.attested_at IS NULL AND OLD.attested_at IS NOT NULL)
        OR (NEW.kind = 'password' AND NEW.changed_at <> OLD.changed_at))
    EXECUTE FUNCTION withdraw_proofs();

CREATE OR REPLACE FUNCTION live_sessions(now timestamptz) RETURNS TABLE (
    id uuid, kind text, root_id uuid, visitor_id uuid, user_id uuid, client_id text, secret_generation integer, acr text,
    amr text[], auth_time timestamptz, expires_at timestamptz, created_at timestamptz, last_seen_at timestamptz,
    idle_timeout interval, epoch integer, username text, user_claims jsonb, admin_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.kind, coalesce(s.parent_id, s.id), s.visitor_id, s.user_id, s.client_id, s.secret_generation, s.acr,
           s.amr, s.auth_time, least(s.expires_at, p.expires_at), s.created_at, a.last_seen_at, s.idle_timeout, s.epoch,
           u.username, u.claims, u.admin_at
    FROM sessions s
    JOIN LATERAL (SELECT last_seen_at FROM session_activity WHERE session_id = s.id OFFSET 0) a ON true
    LEFT JOIN LATERAL (SELECT q.ended_at, q.locked_at, q.expires_at, q.idle_timeout, qa.last_seen_at
                       FROM sessions q JOIN session_activity qa ON qa.session_id = q.id
                       WHERE q.id = s.parent_id OFFSET 0) p ON true
    LEFT JOIN LATERAL (SELECT username, claims, admin_at, disabled_at, session_epoch
                       FROM users WHERE id = s.user_id OFFSET 0) u ON true
    LEFT JOIN LATERAL (SELECT disabled_at, session_epoch
                       FROM clients WHERE client_id = s.client_id OFFSET 0) c ON true
    WHERE s.ended_at IS NULL AND s.locked_at IS NULL AND s.expires_at > $1
      AND (s.idle_timeout IS NULL OR a.last_seen_at + s.idle_timeout > $1)
      AND (s.proof_lost_at IS NULL OR s.kind <> 'privileged')
      AND (s.parent_id IS NULL OR (p.ended_at IS NULL AND p.locked_at IS NULL AND p.expires_at > $1
           AND (p.idle_timeout IS NULL OR p.last_seen_at + p.idle_timeout > $1)))
      AND (s.user_id IS NULL OR (u.disabled_at IS NULL AND s.epoch >= u.session_epoch))
      AND (s.client_id IS NULL OR (c.disabled_at IS NULL AND (s.user_id IS NOT NULL OR s.epoch >= c.session_epoch)))
$$;
