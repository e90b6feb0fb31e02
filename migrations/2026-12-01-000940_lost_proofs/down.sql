CREATE OR REPLACE FUNCTION live_access_tokens(now timestamptz) RETURNS TABLE (
    id uuid, grant_id uuid, session_id uuid, secret_hash bytea, scope text, audience text[], issued_at timestamptz,
    expires_at timestamptz, user_id uuid, client_id text, sid uuid, acr text, amr text[], auth_time timestamptz,
    claims jsonb, username text, user_claims jsonb, session_kind text, session_started_at timestamptz,
    session_expires_at timestamptz, privileged_until timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT t.id, t.grant_id, t.session_id, t.secret_hash, t.scope, t.audience, t.issued_at, t.expires_at, g.user_id,
           g.client_id, g.sid, g.acr, g.amr, g.auth_time, g.claims, s.username, s.user_claims, s.kind, s.created_at,
           s.expires_at, CASE WHEN s.kind = 'privileged' THEN least(s.expires_at, g.privileged_until) END
    FROM access_tokens t
    JOIN LATERAL (SELECT * FROM live_grants($1) WHERE id = t.grant_id OFFSET 0) g ON true
    JOIN LATERAL (SELECT * FROM live_sessions($1) WHERE id = t.session_id OFFSET 0) s ON true
    WHERE t.revoked_at IS NULL AND t.expires_at > $1
$$;
DROP FUNCTION live_sessions(timestamptz);
CREATE FUNCTION live_sessions(now timestamptz) RETURNS TABLE (
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
COMMENT ON FUNCTION live_sessions IS 'Sessions that nothing has ended: themselves, their parent, their user, their client.';
CREATE OR REPLACE FUNCTION withdraw_proofs() RETURNS trigger LANGUAGE plpgsql AS $$
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
DROP FUNCTION amr_now(text[], boolean), acr_now(text, boolean), lost_proof(uuid[], integer, uuid[]), rests_on(uuid[], text[], uuid, text);
ALTER TABLE grants DROP COLUMN proved_with, DROP COLUMN losses_before;
ALTER TABLE sessions DROP COLUMN lost_credentials;
COMMENT ON COLUMN sessions.proved_with IS 'The credentials whose proof it rests on; a privileged session: of every proof in it. Null: not known.';
COMMENT ON COLUMN sessions.proof_lost_at IS 'When one of those credentials died: a privileged session is dead, a user session is worth no more than a password.';
