-- What a privileged scope gives lasts as long as that scope allows, also in a privileged session that goes on for longer.

ALTER TABLE grants ADD COLUMN privileged_until timestamptz;
COMMENT ON COLUMN grants.privileged_until IS 'Until when tokens of it may hang on its privileged session; null: as long as that lives.';
ALTER TABLE step_ups ADD COLUMN until timestamptz;
COMMENT ON COLUMN step_ups.until IS 'Until when what was issued for it may be privileged, and it can be used again; null: as long as its session lives.';
COMMENT ON COLUMN elevation_requests.void_reason IS 'Why: lapsed, withdrawn, session_ended, approver_lost_rights, break_glass_off.';

DROP FUNCTION live_access_tokens(timestamptz);
CREATE FUNCTION live_access_tokens(now timestamptz) RETURNS TABLE (
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
