-- What is live is as it was; how it is found no longer depends on how large the tables were when a statement was planned.
--
-- A plan is made once a connection, and in a table of a few rows reading an index from end to end costs what a look-up
-- costs, so that the planner may take either, and keeps it while the table grows. What is joined by its key is therefore
-- a sub-select that cannot be taken apart (OFFSET 0): in it the key is a parameter, and an index is used by its key or
-- not at all. Whoever joins these functions does the same.
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

CREATE OR REPLACE FUNCTION live_grants(now timestamptz) RETURNS SETOF grants LANGUAGE sql STABLE AS $$
    SELECT g.* FROM grants g
    JOIN LATERAL (SELECT disabled_at, session_epoch FROM clients WHERE client_id = g.client_id OFFSET 0) c ON true
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
    JOIN LATERAL (SELECT * FROM live_grants($1) WHERE id = t.grant_id OFFSET 0) g ON true
    JOIN LATERAL (SELECT * FROM live_sessions($1) WHERE id = t.session_id OFFSET 0) s ON true
    WHERE t.revoked_at IS NULL AND t.expires_at > $1
$$;
