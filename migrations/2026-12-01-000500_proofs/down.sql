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
      AND (s.parent_id IS NULL OR (p.ended_at IS NULL AND p.locked_at IS NULL AND p.expires_at > $1
           AND (p.idle_timeout IS NULL OR p.last_seen_at + p.idle_timeout > $1)))
      AND (s.user_id IS NULL OR (u.disabled_at IS NULL AND s.epoch >= u.session_epoch))
      AND (s.client_id IS NULL OR (c.disabled_at IS NULL AND (s.user_id IS NOT NULL OR s.epoch >= c.session_epoch)))
$$;
DROP TRIGGER credentials_proofs ON credentials;
DROP FUNCTION withdraw_proofs();
ALTER TABLE sessions DROP COLUMN proved_with, DROP COLUMN proof_lost_at;
ALTER TABLE authorization_requests DROP COLUMN proved_with;
ALTER TABLE credentials DROP COLUMN withdrawn_at;
COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, consent_withdrawn, renewed, expired, idle, user_disabled, rights_lost, passkey_suspended, client_disabled, ended_with_user, ended_with_client, ended_with_parent.';
