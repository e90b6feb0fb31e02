-- What others must be told is queued by the statement that makes it so, and a session that died by itself is found
-- without looking at the ones that live.

-- ── the outbox ─────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE notices (
    id           uuid PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('backchannel_logout')),
    session_id   uuid NOT NULL REFERENCES sessions,
    client_id    text NOT NULL REFERENCES clients,
    sid          uuid NOT NULL,
    user_id      uuid REFERENCES users,
    created_at   timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    failure      text,
    delivered_at timestamptz,
    abandoned_at timestamptz,
    UNIQUE (session_id, client_id, kind)
) WITH (fillfactor = 80);
CREATE INDEX notices_due ON notices (due_at) WHERE delivered_at IS NULL AND abandoned_at IS NULL;
COMMENT ON TABLE notices IS 'The outbox: what others must be told, each at least once. A session is not removed while one of it is left.';
COMMENT ON COLUMN notices.id IS 'UUIDv7 of the instant it was queued.';
COMMENT ON COLUMN notices.kind IS 'backchannel_logout.';
COMMENT ON COLUMN notices.session_id IS 'The session that ended.';
COMMENT ON COLUMN notices.client_id IS 'The relying party to tell.';
COMMENT ON COLUMN notices.sid IS 'The name under which it knows the session.';
COMMENT ON COLUMN notices.user_id IS 'Who was signed in.';
COMMENT ON COLUMN notices.created_at IS 'When the session ended.';
COMMENT ON COLUMN notices.due_at IS 'When to try next; while somebody tries, when another may.';
COMMENT ON COLUMN notices.attempts IS 'How often it was tried.';
COMMENT ON COLUMN notices.failure IS 'Why the last try failed.';
COMMENT ON COLUMN notices.delivered_at IS 'When the relying party took it.';
COMMENT ON COLUMN notices.abandoned_at IS 'When it was given up, or found not to be deliverable.';

CREATE FUNCTION new_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (left(uuid_floor(at)::text, 13) || '-7' || right(gen_random_uuid()::text, 21))::uuid
$$;
COMMENT ON FUNCTION new_id IS 'A UUIDv7 of this instant (RFC 9562 section 5.7).';

-- ── sessions that die by themselves ────────────────────────────────────────────────────────────────────────────────
-- They are dead without anybody looking; this is for telling it. The indexes are built in place: no release of the
-- schema has had many sessions yet.
ALTER TABLE sessions ADD COLUMN look_at timestamptz NOT NULL DEFAULT '-infinity';
-- Its condition is more than that the session has not ended: every look-up says as much, and the planner, which plans on
-- small tables, would read this index from end to end instead of finding one session by its key.
CREATE INDEX sessions_look ON sessions (look_at) WHERE ended_at IS NULL AND look_at < 'infinity';
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON COLUMN sessions.look_at IS 'It cannot have died by itself before then: when to look again, to tell of its end.';
COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, consent_withdrawn, renewed, expired, idle, user_disabled, client_disabled, ended_with_user, ended_with_client, ended_with_parent.';
