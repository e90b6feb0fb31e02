-- As they were in the foundation.
CREATE OR REPLACE FUNCTION live_sessions(now timestamptz) RETURNS TABLE (
    id uuid, kind text, root_id uuid, visitor_id uuid, user_id uuid, client_id text, secret_generation integer, acr text,
    amr text[], auth_time timestamptz, expires_at timestamptz, created_at timestamptz, last_seen_at timestamptz,
    idle_timeout interval, epoch integer, username text, user_claims jsonb, admin_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.kind, coalesce(s.parent_id, s.id), s.visitor_id, s.user_id, s.client_id, s.secret_generation, s.acr,
           s.amr, s.auth_time, least(s.expires_at, p.expires_at), s.created_at, a.last_seen_at, s.idle_timeout, s.epoch, u.username, u.claims,
           u.admin_at
    FROM sessions s
    JOIN session_activity a ON a.session_id = s.id
    LEFT JOIN sessions p ON p.id = s.parent_id
    LEFT JOIN session_activity pa ON pa.session_id = s.parent_id
    LEFT JOIN users u ON u.id = s.user_id
    LEFT JOIN clients c ON c.client_id = s.client_id
    WHERE s.ended_at IS NULL AND s.locked_at IS NULL AND s.expires_at > $1
      AND (s.idle_timeout IS NULL OR a.last_seen_at + s.idle_timeout > $1)
      AND (s.parent_id IS NULL OR (p.ended_at IS NULL AND p.locked_at IS NULL AND p.expires_at > $1
           AND (p.idle_timeout IS NULL OR pa.last_seen_at + p.idle_timeout > $1)))
      AND (s.user_id IS NULL OR (u.disabled_at IS NULL AND s.epoch >= u.session_epoch))
      AND (s.client_id IS NULL OR (c.disabled_at IS NULL AND (s.user_id IS NOT NULL OR s.epoch >= c.session_epoch)))
$$;

CREATE OR REPLACE FUNCTION live_grants(now timestamptz) RETURNS SETOF grants LANGUAGE sql STABLE AS $$
    SELECT g.* FROM grants g JOIN clients c ON c.client_id = g.client_id
    WHERE g.ended_at IS NULL AND c.disabled_at IS NULL AND g.epoch >= c.session_epoch
$$;

CREATE OR REPLACE FUNCTION live_access_tokens(now timestamptz) RETURNS TABLE (
    id uuid, grant_id uuid, session_id uuid, secret_hash bytea, scope text, audience text[], issued_at timestamptz,
    expires_at timestamptz, user_id uuid, client_id text, sid uuid, acr text, amr text[], auth_time timestamptz,
    claims jsonb, username text, user_claims jsonb, session_kind text, session_started_at timestamptz,
    session_expires_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT t.id, t.grant_id, t.session_id, t.secret_hash, t.scope, t.audience, t.issued_at, t.expires_at, g.user_id,
           g.client_id, g.sid, g.acr, g.amr, g.auth_time, g.claims, s.username, s.user_claims, s.kind, s.created_at,
           s.expires_at
    FROM access_tokens t
    JOIN live_grants($1) g ON g.id = t.grant_id
    JOIN live_sessions($1) s ON s.id = t.session_id
    WHERE t.revoked_at IS NULL AND t.expires_at > $1
$$;
