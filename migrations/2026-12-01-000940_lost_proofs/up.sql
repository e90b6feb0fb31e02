-- A token says no more than its proof is worth now; a replaced password proves nothing any more.

ALTER TABLE sessions ADD COLUMN lost_credentials uuid[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sessions.lost_credentials IS 'User and offline sessions: which credentials of the user died since it began, in that order.';
COMMENT ON COLUMN sessions.proved_with IS 'The credentials whose proof it rests on; a privileged session: of every proof in it. Null: not recorded.';
COMMENT ON COLUMN sessions.proof_lost_at IS 'When one of those credentials died: a privileged session is dead, another is worth no more than a password.';

ALTER TABLE grants
    ADD COLUMN proved_with   uuid[],
    ADD COLUMN losses_before integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN grants.proved_with IS 'The credentials that proved its acr. Null: not recorded, any that dies counts.';
COMMENT ON COLUMN grants.losses_before IS 'How many of the session''s lost_credentials had died when it was issued.';

CREATE FUNCTION rests_on(proved_with uuid[], amr text[], credential uuid, kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $1 IS NOT NULL THEN $1 @> ARRAY[$3]
                WHEN $4 = 'passkey' THEN $2 && '{pop,hwk}'
                WHEN $4 = 'password' THEN $2 @> '{pwd}'
                ELSE $2 @> '{pwd,mfa}' END
$$;
COMMENT ON FUNCTION rests_on IS 'Whether a session was proved with a credential. Where that was not recorded, the kind and the amr decide.';

CREATE FUNCTION lost_proof(proved_with uuid[], losses_before integer, lost_credentials uuid[]) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce($1 && ($3)[$2 + 1:], cardinality($3) > $2)
$$;
COMMENT ON FUNCTION lost_proof IS 'Whether a credential that proved a grant has died since it was issued.';

CREATE FUNCTION acr_now(acr text, lost boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $2 THEN 'urn:mooring:acr:pwd' ELSE $1 END
$$;
COMMENT ON FUNCTION acr_now IS 'What an acr is worth: no more than a password once its proof is lost.';

CREATE FUNCTION amr_now(amr text[], lost boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN NOT $2 THEN $1 WHEN $1 @> '{pwd}' THEN '{pwd}' ELSE '{}' END::text[]
$$;
COMMENT ON FUNCTION amr_now IS 'The same of an amr.';

CREATE OR REPLACE FUNCTION withdraw_proofs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    died_at timestamptz := greatest(NEW.ended_at, NEW.suspended_at, NEW.withdrawn_at, NEW.changed_at, NEW.last_used_at);
    -- The session in which the user changes a password: they have just shown there who they are.
    kept uuid := nullif(current_setting('mooring.kept_session', true), '')::uuid;
BEGIN
    -- A recovery code that was never used has proved nothing.
    IF NEW.kind = 'recovery' AND OLD.ended_at IS NULL THEN
        RETURN NULL;
    END IF;
    -- Privileged work holds the person while it begins: it has begun, and is found below, or sees what happened here.
    PERFORM FROM users WHERE id = NEW.user_id FOR NO KEY UPDATE;
    UPDATE sessions SET proof_lost_at = died_at, look_at = least(look_at, died_at)
        WHERE user_id = NEW.user_id AND ended_at IS NULL AND kind = 'privileged' AND proof_lost_at IS NULL
        AND (proved_with IS NULL OR proved_with @> ARRAY[NEW.id]);
    UPDATE authorization_requests SET proved_at = NULL, proved_by = NULL, proved_acr = NULL, proved_amr = NULL, proved_with = NULL
        WHERE proved_by = NEW.user_id AND completed_at IS NULL AND (proved_with IS NULL OR proved_with @> ARRAY[NEW.id]);
    -- Every user session notes the loss: it may rest on another proof by now, and its earlier grants on this one.
    UPDATE sessions SET lost_credentials = lost_credentials || NEW.id,
            proof_lost_at = CASE WHEN rests_on(proved_with, amr, NEW.id, NEW.kind) THEN died_at ELSE proof_lost_at END,
            acr = acr_now(acr, rests_on(proved_with, amr, NEW.id, NEW.kind)),
            amr = amr_now(amr, rests_on(proved_with, amr, NEW.id, NEW.kind))
        WHERE user_id = NEW.user_id AND ended_at IS NULL AND kind = 'user' AND id IS DISTINCT FROM kept;
    -- Afterwards: an offline session that begins at this moment holds its user session, which was waited for above.
    UPDATE sessions SET lost_credentials = lost_credentials || NEW.id, proof_lost_at = died_at, acr = acr_now(acr, true),
            amr = amr_now(amr, true)
        WHERE user_id = NEW.user_id AND ended_at IS NULL AND kind = 'offline' AND rests_on(proved_with, amr, NEW.id, NEW.kind);
    RETURN NULL;
END
$$;

-- With what issuing and answering need to know of the proof.
DROP FUNCTION live_sessions(timestamptz);
CREATE FUNCTION live_sessions(now timestamptz) RETURNS TABLE (
    id uuid, kind text, root_id uuid, visitor_id uuid, user_id uuid, client_id text, secret_generation integer, acr text,
    amr text[], auth_time timestamptz, expires_at timestamptz, created_at timestamptz, last_seen_at timestamptz,
    idle_timeout interval, epoch integer, username text, user_claims jsonb, admin_at timestamptz, proved_with uuid[],
    proof_lost_at timestamptz, lost_credentials uuid[]
) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.kind, coalesce(s.parent_id, s.id), s.visitor_id, s.user_id, s.client_id, s.secret_generation, s.acr,
           s.amr, s.auth_time, least(s.expires_at, p.expires_at), s.created_at, a.last_seen_at, s.idle_timeout, s.epoch,
           u.username, u.claims, u.admin_at, s.proved_with, s.proof_lost_at, s.lost_credentials
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

CREATE OR REPLACE FUNCTION live_access_tokens(now timestamptz) RETURNS TABLE (
    id uuid, grant_id uuid, session_id uuid, secret_hash bytea, scope text, audience text[], issued_at timestamptz,
    expires_at timestamptz, user_id uuid, client_id text, sid uuid, acr text, amr text[], auth_time timestamptz,
    claims jsonb, username text, user_claims jsonb, session_kind text, session_started_at timestamptz,
    session_expires_at timestamptz, privileged_until timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT t.id, t.grant_id, t.session_id, t.secret_hash, t.scope, t.audience, t.issued_at, t.expires_at, g.user_id,
           g.client_id, g.sid, acr_now(g.acr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)),
           amr_now(g.amr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)), g.auth_time, g.claims,
           s.username, s.user_claims, s.kind, s.created_at, s.expires_at,
           CASE WHEN s.kind = 'privileged' THEN least(s.expires_at, g.privileged_until) END
    FROM access_tokens t
    JOIN LATERAL (SELECT * FROM live_grants($1) WHERE id = t.grant_id OFFSET 0) g ON true
    JOIN LATERAL (SELECT * FROM live_sessions($1) WHERE id = t.session_id OFFSET 0) s ON true
    WHERE t.revoked_at IS NULL AND t.expires_at > $1
$$;
