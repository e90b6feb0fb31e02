-- Mooring's schema. What a credential hangs on is decided here once: every code, token and refresh state has a
-- session, and the functions at the end are the only definition of "live".

-- ── people ─────────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE users (
    id            uuid PRIMARY KEY,
    username      text NOT NULL,
    username_key  text NOT NULL UNIQUE,
    claims        jsonb NOT NULL DEFAULT '{}',
    session_epoch integer NOT NULL DEFAULT 0,
    admin_at      timestamptz,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
COMMENT ON TABLE users IS 'A person who can sign in.';
COMMENT ON COLUMN users.id IS 'UUIDv7; the subject of public clients.';
COMMENT ON COLUMN users.username IS 'As the person writes it.';
COMMENT ON COLUMN users.username_key IS 'The name folded for comparison: lower case, trimmed.';
COMMENT ON COLUMN users.claims IS 'OpenID Connect standard claims (OIDC Core section 5.1), without sub.';
COMMENT ON COLUMN users.session_epoch IS 'Sessions begun under a smaller epoch are dead: bumping it ends everything of this person.';
COMMENT ON COLUMN users.admin_at IS 'Since when the person is an administrator of this server.';
COMMENT ON COLUMN users.disabled_at IS 'Since when the person may not sign in; all their sessions are dead.';
COMMENT ON COLUMN users.created_at IS 'When the account was made.';
COMMENT ON COLUMN users.updated_at IS 'When the account last changed.';

CREATE TABLE credentials (
    id          uuid PRIMARY KEY,
    user_id     uuid NOT NULL REFERENCES users,
    kind        text NOT NULL CHECK (kind IN ('password', 'passkey', 'totp', 'recovery')),
    secret_hash text,
    declared    bytea,
    created_at  timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE UNIQUE INDEX credentials_one_password ON credentials (user_id) WHERE kind = 'password' AND ended_at IS NULL;
COMMENT ON TABLE credentials IS 'What a person proves their identity with.';
COMMENT ON COLUMN credentials.id IS 'UUIDv7.';
COMMENT ON COLUMN credentials.user_id IS 'Whose it is.';
COMMENT ON COLUMN credentials.kind IS 'password, passkey, totp or recovery.';
COMMENT ON COLUMN credentials.secret_hash IS 'Password: Argon2id in PHC form.';
COMMENT ON COLUMN credentials.declared IS 'Keyed hash of the declared password it was made from, so that a restart neither hashes it again nor overwrites a later change.';
COMMENT ON COLUMN credentials.created_at IS 'When it was enrolled.';
COMMENT ON COLUMN credentials.changed_at IS 'When the secret last changed.';
COMMENT ON COLUMN credentials.ended_at IS 'When it was withdrawn.';

-- ── relying parties ────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE clients (
    client_id     text PRIMARY KEY,
    metadata      jsonb NOT NULL,
    secret_hash   bytea,
    session_epoch integer NOT NULL DEFAULT 0,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL
);
COMMENT ON TABLE clients IS 'A registered client (RFC 7591).';
COMMENT ON COLUMN clients.client_id IS 'Its identifier in the protocol.';
COMMENT ON COLUMN clients.metadata IS 'Registration metadata, without the secret.';
COMMENT ON COLUMN clients.secret_hash IS 'SHA-256 of the client secret, which is random.';
COMMENT ON COLUMN clients.session_epoch IS 'Grants and service sessions begun under a smaller epoch are dead.';
COMMENT ON COLUMN clients.disabled_at IS 'Since when it may do nothing; all it holds is dead.';
COMMENT ON COLUMN clients.created_at IS 'When it was registered.';
COMMENT ON COLUMN clients.updated_at IS 'When it last changed.';

CREATE TABLE consents (
    user_id      uuid NOT NULL REFERENCES users,
    client_id    text NOT NULL REFERENCES clients,
    scope        text[] NOT NULL,
    granted_at   timestamptz NOT NULL,
    withdrawn_at timestamptz,
    PRIMARY KEY (user_id, client_id)
);
COMMENT ON TABLE consents IS 'What a person allowed a client, so that they are asked once.';
COMMENT ON COLUMN consents.user_id IS 'Who allowed it.';
COMMENT ON COLUMN consents.client_id IS 'Whom.';
COMMENT ON COLUMN consents.scope IS 'The scopes allowed so far.';
COMMENT ON COLUMN consents.granted_at IS 'When they last allowed something.';
COMMENT ON COLUMN consents.withdrawn_at IS 'When they took it back.';

-- ── sessions, the centre ───────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE sessions (
    id                uuid PRIMARY KEY,
    kind              text NOT NULL CHECK (kind IN ('visitor', 'user', 'privileged', 'service', 'offline', 'device')),
    parent_id         uuid REFERENCES sessions,
    visitor_id        uuid REFERENCES sessions,
    user_id           uuid REFERENCES users,
    client_id         text REFERENCES clients,
    secret_generation integer NOT NULL DEFAULT 0,
    acr               text NOT NULL,
    amr               text[] NOT NULL DEFAULT '{}',
    auth_time         timestamptz,
    epoch             integer NOT NULL DEFAULT 0,
    idle_timeout      interval,
    expires_at        timestamptz NOT NULL,
    locked_at         timestamptz,
    lock_reason       text,
    ended_at          timestamptz,
    end_reason        text,
    risk              smallint NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL,
    CHECK ((kind = 'privileged') = (parent_id IS NOT NULL)),
    CHECK (kind NOT IN ('user', 'privileged', 'offline') OR user_id IS NOT NULL),
    CHECK (kind NOT IN ('service', 'offline') OR client_id IS NOT NULL),
    CHECK (kind NOT IN ('visitor', 'service') OR user_id IS NULL)
);
CREATE INDEX sessions_parent ON sessions (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX sessions_visitor ON sessions (visitor_id) WHERE visitor_id IS NOT NULL;
CREATE INDEX sessions_visitors ON sessions (id) WHERE kind = 'visitor';
CREATE INDEX sessions_user ON sessions (user_id) WHERE ended_at IS NULL AND user_id IS NOT NULL;
CREATE INDEX sessions_service ON sessions (client_id, id) WHERE kind = 'service' AND ended_at IS NULL;
COMMENT ON TABLE sessions IS 'What every code and token hangs on. Ending it is one UPDATE of one row.';
COMMENT ON COLUMN sessions.id IS 'UUIDv7 of the instant it began.';
COMMENT ON COLUMN sessions.kind IS 'visitor, user, privileged, service, offline or device.';
COMMENT ON COLUMN sessions.parent_id IS 'The user session a privileged session belongs to and dies with.';
COMMENT ON COLUMN sessions.visitor_id IS 'Lineage: the visitor session this was before sign-in; an offline session: the user session it came from.';
COMMENT ON COLUMN sessions.user_id IS 'Who is signed in.';
COMMENT ON COLUMN sessions.client_id IS 'The client of a service or offline session.';
COMMENT ON COLUMN sessions.secret_generation IS 'The cookie''s secret is an HMAC of id and this; one more makes the old cookie dead.';
COMMENT ON COLUMN sessions.acr IS 'How strongly the person is authenticated now.';
COMMENT ON COLUMN sessions.amr IS 'By which methods (RFC 8176).';
COMMENT ON COLUMN sessions.auth_time IS 'When the person last proved who they are.';
COMMENT ON COLUMN sessions.epoch IS 'The user''s (a service session: the client''s) session_epoch at birth.';
COMMENT ON COLUMN sessions.idle_timeout IS 'How long without activity; null: never idle.';
COMMENT ON COLUMN sessions.expires_at IS 'The absolute end.';
COMMENT ON COLUMN sessions.locked_at IS 'Since when every credential of it is refused.';
COMMENT ON COLUMN sessions.lock_reason IS 'Why it was locked.';
COMMENT ON COLUMN sessions.ended_at IS 'When it was ended; rows are kept as tombstones.';
COMMENT ON COLUMN sessions.end_reason IS 'Why: signed_in, signed_out, superseded, ended_by_user, ended_by_operator, renewed, expired.';
COMMENT ON COLUMN sessions.risk IS 'Score of the risk rules, 0 to 100.';
COMMENT ON COLUMN sessions.created_at IS 'When it began.';

CREATE TABLE session_activity (
    session_id   uuid PRIMARY KEY REFERENCES sessions,
    last_seen_at timestamptz NOT NULL,
    source_hash  bytea,
    agent_hash   bytea,
    place        text,
    device       text
) WITH (fillfactor = 70);
COMMENT ON TABLE session_activity IS 'The part of a session that changes often: at most one write a minute a session.';
COMMENT ON COLUMN session_activity.session_id IS 'The session.';
COMMENT ON COLUMN session_activity.last_seen_at IS 'Last request with its cookie, or last refresh.';
COMMENT ON COLUMN session_activity.source_hash IS 'Keyed hash of the network address.';
COMMENT ON COLUMN session_activity.agent_hash IS 'Keyed hash of the user agent.';
COMMENT ON COLUMN session_activity.place IS 'Coarse network for people, such as 203.0.x.x.';
COMMENT ON COLUMN session_activity.device IS 'Coarse device for people, such as Firefox on Linux.';

CREATE TABLE session_clients (
    session_id uuid NOT NULL REFERENCES sessions,
    client_id  text NOT NULL REFERENCES clients,
    sid        uuid NOT NULL UNIQUE,
    joined_at  timestamptz NOT NULL,
    PRIMARY KEY (session_id, client_id)
);
COMMENT ON TABLE session_clients IS 'Which relying parties took part in a session, for its whole life.';
COMMENT ON COLUMN session_clients.session_id IS 'The root session: user, visitor or service.';
COMMENT ON COLUMN session_clients.client_id IS 'The relying party.';
COMMENT ON COLUMN session_clients.sid IS 'The name under which this client knows the session; random, so that two clients cannot compare.';
COMMENT ON COLUMN session_clients.joined_at IS 'When it first took part.';

-- ── grants and what comes of them ──────────────────────────────────────────────────────────────────────────────────
CREATE TABLE grants (
    id                 uuid PRIMARY KEY,
    session_id         uuid NOT NULL REFERENCES sessions,
    offline_session_id uuid REFERENCES sessions,
    user_id            uuid,
    client_id          text NOT NULL,
    sid                uuid NOT NULL,
    scope              text NOT NULL,
    acr                text NOT NULL,
    amr                text[] NOT NULL DEFAULT '{}',
    auth_time          timestamptz,
    nonce              text,
    claims             jsonb,
    epoch              integer NOT NULL DEFAULT 0,
    refresh_seed       bytea,
    refresh_generation integer NOT NULL DEFAULT 0,
    refresh_rotated_at timestamptz,
    created_at         timestamptz NOT NULL,
    ended_at           timestamptz,
    end_reason         text
) WITH (fillfactor = 80);
CREATE INDEX grants_session ON grants (session_id);
CREATE INDEX grants_offline ON grants (offline_session_id) WHERE offline_session_id IS NOT NULL;
COMMENT ON TABLE grants IS 'The family: what one authorization led to. Every code and token carries its grant.';
COMMENT ON COLUMN grants.id IS 'UUIDv7.';
COMMENT ON COLUMN grants.session_id IS 'The session in which it was granted.';
COMMENT ON COLUMN grants.offline_session_id IS 'With offline_access: the session that the refresh token hangs on.';
COMMENT ON COLUMN grants.user_id IS 'Who granted it: the session''s user. No foreign key of its own, which would be checked at every code.';
COMMENT ON COLUMN grants.client_id IS 'To whom: a party of the session. No foreign key of its own, which would be checked at every code.';
COMMENT ON COLUMN grants.sid IS 'The sid of this client in the origin session.';
COMMENT ON COLUMN grants.scope IS 'What was granted.';
COMMENT ON COLUMN grants.acr IS 'Strength of the authentication at the time; a later step-up never upgrades it.';
COMMENT ON COLUMN grants.amr IS 'Its methods.';
COMMENT ON COLUMN grants.auth_time IS 'Its time.';
COMMENT ON COLUMN grants.nonce IS 'The nonce of the authorization request, for the ID token.';
COMMENT ON COLUMN grants.claims IS 'The claims parameter (OIDC Core section 5.5).';
COMMENT ON COLUMN grants.epoch IS 'The client''s session_epoch at birth.';
COMMENT ON COLUMN grants.refresh_seed IS 'Refresh token n is an HMAC of id, n and this; null: none was issued.';
COMMENT ON COLUMN grants.refresh_generation IS 'The newest refresh token handed out.';
COMMENT ON COLUMN grants.refresh_rotated_at IS 'When it was first handed out.';
COMMENT ON COLUMN grants.created_at IS 'When it was granted.';
COMMENT ON COLUMN grants.ended_at IS 'When the family was ended; everything of it is dead.';
COMMENT ON COLUMN grants.end_reason IS 'Why: code_replayed, refresh_replayed, revoked.';

CREATE TABLE authorization_requests (
    id           uuid PRIMARY KEY,
    session_id   uuid REFERENCES sessions,
    client_id    text NOT NULL REFERENCES clients,
    parameters   text NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    selected_at  timestamptz,
    consented_at timestamptz,
    denied_at    timestamptz,
    completed_at timestamptz,
    code_id      uuid
);
CREATE INDEX authorization_requests_session ON authorization_requests (session_id);
COMMENT ON TABLE authorization_requests IS 'A request that waits for a person. It follows the lineage of its session.';
COMMENT ON COLUMN authorization_requests.id IS 'UUIDv7; its CSRF token is an HMAC of it.';
COMMENT ON COLUMN authorization_requests.session_id IS 'The browser session it belongs to; null until a cookie is seen (cross-site POST).';
COMMENT ON COLUMN authorization_requests.client_id IS 'Who asked.';
COMMENT ON COLUMN authorization_requests.parameters IS 'The request as a query string.';
COMMENT ON COLUMN authorization_requests.created_at IS 'When it came.';
COMMENT ON COLUMN authorization_requests.expires_at IS 'Until when it can be resumed.';
COMMENT ON COLUMN authorization_requests.selected_at IS 'When the person chose the account (prompt=select_account).';
COMMENT ON COLUMN authorization_requests.consented_at IS 'When the person consented to this very request (prompt=consent).';
COMMENT ON COLUMN authorization_requests.denied_at IS 'When the person refused.';
COMMENT ON COLUMN authorization_requests.completed_at IS 'When it was answered.';
COMMENT ON COLUMN authorization_requests.code_id IS 'The code it was answered with: a double submit gets the same.';

CREATE TABLE authorization_codes (
    id                uuid PRIMARY KEY,
    grant_id          uuid NOT NULL,
    session_id        uuid NOT NULL REFERENCES sessions,
    redirect_uri      text NOT NULL,
    code_challenge    text,
    expires_at        timestamptz NOT NULL,
    consumed_at       timestamptz
) PARTITION BY RANGE (id);
-- Removing a session looks here for what refers to it.
CREATE INDEX authorization_codes_session ON authorization_codes (session_id);
COMMENT ON TABLE authorization_codes IS 'A code; its secret is an HMAC of its id and is not stored.';
COMMENT ON COLUMN authorization_codes.id IS 'UUIDv7.';
COMMENT ON COLUMN authorization_codes.grant_id IS 'Its family.';
COMMENT ON COLUMN authorization_codes.session_id IS 'The session it hangs on.';
COMMENT ON COLUMN authorization_codes.redirect_uri IS 'Where it was sent; compared exactly when the token request names one.';
COMMENT ON COLUMN authorization_codes.code_challenge IS 'PKCE challenge, S256; null only for a confidential client registered with require_pkce=false.';
COMMENT ON COLUMN authorization_codes.expires_at IS 'Until when it can be redeemed.';
COMMENT ON COLUMN authorization_codes.consumed_at IS 'When it was redeemed.';

CREATE TABLE access_tokens (
    id          uuid PRIMARY KEY,
    grant_id    uuid NOT NULL,
    session_id  uuid NOT NULL REFERENCES sessions,
    secret_hash bytea,
    scope       text NOT NULL,
    audience    text[] NOT NULL,
    issued_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    revoked_at  timestamptz
) PARTITION BY RANGE (id);
CREATE INDEX access_tokens_session ON access_tokens (session_id);
COMMENT ON TABLE access_tokens IS 'An access token, opaque or JWT.';
COMMENT ON COLUMN access_tokens.id IS 'UUIDv7; part of an opaque token, jti of a JWT.';
COMMENT ON COLUMN access_tokens.grant_id IS 'Its family.';
COMMENT ON COLUMN access_tokens.session_id IS 'The session it hangs on.';
COMMENT ON COLUMN access_tokens.secret_hash IS 'SHA-256 of the secret part; null for a JWT, whose signature is its proof.';
COMMENT ON COLUMN access_tokens.scope IS 'What it allows.';
COMMENT ON COLUMN access_tokens.audience IS 'For whom (RFC 8707); the issuer by default.';
COMMENT ON COLUMN access_tokens.issued_at IS 'When it was issued.';
COMMENT ON COLUMN access_tokens.expires_at IS 'Its end.';
COMMENT ON COLUMN access_tokens.revoked_at IS 'When it was revoked.';

CREATE TABLE used_jtis (
    expires_at timestamptz NOT NULL,
    client_id  text NOT NULL,
    jti_hash   bytea NOT NULL,
    PRIMARY KEY (expires_at, client_id, jti_hash)
) PARTITION BY RANGE (expires_at);
COMMENT ON TABLE used_jtis IS 'Client assertions already used (RFC 7523 section 3); exp is at most five minutes ahead.';
COMMENT ON COLUMN used_jtis.expires_at IS 'The assertion''s exp.';
COMMENT ON COLUMN used_jtis.client_id IS 'Whose assertion.';
COMMENT ON COLUMN used_jtis.jti_hash IS 'SHA-256 of its jti.';

-- ── the server's own ───────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE signing_keys (
    kid         text PRIMARY KEY,
    algorithm   text NOT NULL CHECK (algorithm IN ('RS256', 'ES256', 'EdDSA')),
    sealed      bytea NOT NULL,
    public_jwk  jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    signs_from  timestamptz NOT NULL,
    retires_at  timestamptz
);
COMMENT ON TABLE signing_keys IS 'Keys that sign tokens; the newest whose signs_from has come signs.';
COMMENT ON COLUMN signing_keys.kid IS 'RFC 7638 thumbprint.';
COMMENT ON COLUMN signing_keys.algorithm IS 'RS256, ES256 or EdDSA.';
COMMENT ON COLUMN signing_keys.sealed IS 'PKCS#8, sealed under the master secret.';
COMMENT ON COLUMN signing_keys.public_jwk IS 'What the JWKS publishes.';
COMMENT ON COLUMN signing_keys.created_at IS 'When it was made and published.';
COMMENT ON COLUMN signing_keys.signs_from IS 'From when it signs: verifiers have fetched it by then.';
COMMENT ON COLUMN signing_keys.retires_at IS 'When it leaves the JWKS: nothing that it signed is alive by then.';

CREATE TABLE set_up_links (
    secret_hash bytea PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz
);
COMMENT ON TABLE set_up_links IS 'One-time links that make the first administrator.';
COMMENT ON COLUMN set_up_links.secret_hash IS 'SHA-256 of 256 random bits.';
COMMENT ON COLUMN set_up_links.created_at IS 'When the server printed it.';
COMMENT ON COLUMN set_up_links.expires_at IS 'An hour later.';
COMMENT ON COLUMN set_up_links.used_at IS 'When it was used, or replaced by a newer one.';

CREATE TABLE throttles (
    key        bytea PRIMARY KEY,
    level      double precision NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE throttles IS 'Leaky buckets of failures, by account and source.';
COMMENT ON COLUMN throttles.key IS 'Keyed hash of what is counted.';
COMMENT ON COLUMN throttles.level IS 'Failures in the bucket at updated_at; it leaks with time.';
COMMENT ON COLUMN throttles.updated_at IS 'When level was last computed.';

CREATE TABLE audit_events (
    id          uuid NOT NULL,
    at          timestamptz NOT NULL,
    kind        text NOT NULL,
    session_id  uuid,
    actor       text NOT NULL,
    user_id     uuid,
    client_id   text,
    action      text NOT NULL,
    outcome     text NOT NULL,
    reason      text,
    detail      jsonb,
    source_hash bytea,
    agent_hash  bytea,
    trace       text,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX audit_events_session ON audit_events (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE audit_events IS 'What happened; append-only. The session has no foreign key: the trail outlives it.';
COMMENT ON COLUMN audit_events.id IS 'UUIDv7.';
COMMENT ON COLUMN audit_events.at IS 'The instant of the request.';
COMMENT ON COLUMN audit_events.kind IS 'Kind of the session concerned, or server.';
COMMENT ON COLUMN audit_events.session_id IS 'The session concerned.';
COMMENT ON COLUMN audit_events.actor IS 'Who did it: user, visitor, client, operator or server.';
COMMENT ON COLUMN audit_events.user_id IS 'The person concerned.';
COMMENT ON COLUMN audit_events.client_id IS 'The client concerned.';
COMMENT ON COLUMN audit_events.action IS 'What was done, from a closed list.';
COMMENT ON COLUMN audit_events.outcome IS 'done or refused.';
COMMENT ON COLUMN audit_events.reason IS 'Why, a stable code.';
COMMENT ON COLUMN audit_events.detail IS 'Facts of the action; never a secret.';
COMMENT ON COLUMN audit_events.source_hash IS 'Keyed hash of the network address.';
COMMENT ON COLUMN audit_events.agent_hash IS 'Keyed hash of the user agent.';
COMMENT ON COLUMN audit_events.trace IS 'The request id.';
COMMENT ON COLUMN audit_events.xid IS 'The transaction: readers in order stop below pg_snapshot_xmin.';

-- ── partitions: expiry is dropping one ─────────────────────────────────────────────────────────────────────────────
CREATE TABLE partitioned_tables (
    name     text PRIMARY KEY,
    by_uuid  boolean NOT NULL,
    period   interval NOT NULL,
    keep     interval
);
COMMENT ON TABLE partitioned_tables IS 'How the partitioned tables are cut; read by maintain_partitions.';
COMMENT ON COLUMN partitioned_tables.name IS 'The table.';
COMMENT ON COLUMN partitioned_tables.by_uuid IS 'Whether the key is a UUIDv7 (else a timestamptz).';
COMMENT ON COLUMN partitioned_tables.period IS 'How much time a partition covers.';
COMMENT ON COLUMN partitioned_tables.keep IS 'How long after its upper bound a partition is dropped; null: never.';
INSERT INTO partitioned_tables VALUES
    ('authorization_codes', true,  '6 hours', '1 hour'),
    ('access_tokens',       true,  '6 hours', '12 hours'),
    ('used_jtis',           false, '1 hour',  '10 minutes'),
    ('audit_events',        true,  '30 days', NULL);

CREATE FUNCTION uuid_floor(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;
COMMENT ON FUNCTION uuid_floor IS 'The smallest UUID whose first 48 bits say this instant (RFC 9562 section 5.7).';

-- Runs as its owner, so that the server's role needs no right to create or drop. CREATE then ATTACH takes only a
-- SHARE UPDATE EXCLUSIVE lock on the parent; lock_timeout keeps it from queueing everyone behind it.
CREATE FUNCTION maintain_partitions(now timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    t partitioned_tables;
    seconds bigint;
    n bigint;
    first_period bigint;
    child text;
    lower_bound text;
    upper_bound text;
    victim record;
    changes integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mooring.maintain_partitions'));
    FOR t IN SELECT * FROM partitioned_tables LOOP
        seconds := extract(epoch FROM t.period);
        first_period := floor(extract(epoch FROM now) / seconds);
        FOR n IN first_period - 1 .. first_period + 3 LOOP
            child := t.name || '_' || (n * seconds);
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            -- The past is only for clocks that disagree a little at a new server.
            CONTINUE WHEN n < first_period AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = t.name::regclass);
            lower_bound := CASE WHEN t.by_uuid THEN uuid_floor(to_timestamp(n * seconds))::text ELSE to_timestamp(n * seconds)::text END;
            upper_bound := CASE WHEN t.by_uuid THEN uuid_floor(to_timestamp((n + 1) * seconds))::text ELSE to_timestamp((n + 1) * seconds)::text END;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, t.name);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', t.name, child, lower_bound, upper_bound);
            changes := changes + 1;
        END LOOP;
        CONTINUE WHEN t.keep IS NULL;
        FOR victim IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = t.name::regclass
              AND to_timestamp((regexp_replace(c.relname, '^.*_', '')::bigint + seconds)) + t.keep < now
        LOOP
            EXECUTE format('DROP TABLE %I', victim.relname);
            changes := changes + 1;
        END LOOP;
    END LOOP;
    RETURN changes;
END
$$;
COMMENT ON FUNCTION maintain_partitions IS 'Makes the partitions of now and the next three periods, drops the ones past keeping. Returns how many it changed.';

CREATE FUNCTION missing_partitions(now timestamptz) RETURNS text[] LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT coalesce(array_agg(t.name ORDER BY t.name), '{}')
    FROM partitioned_tables t
    WHERE to_regclass(t.name || '_' || ((floor(extract(epoch FROM now) / extract(epoch FROM t.period)) + 1)
                                        * extract(epoch FROM t.period))::bigint) IS NULL
$$;
COMMENT ON FUNCTION missing_partitions IS 'The tables whose next partition does not exist; readiness fails on any.';

-- ── what is live ───────────────────────────────────────────────────────────────────────────────────────────────────
-- Plain SQL functions: the planner inlines them, so a look-up through them is one flat join. There is no other
-- definition of "live" anywhere, and no caller can forget a part of it.
CREATE FUNCTION live_sessions(now timestamptz) RETURNS TABLE (
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
COMMENT ON FUNCTION live_sessions IS 'Sessions that nothing has ended: themselves, their parent, their user, their client.';

CREATE FUNCTION live_grants(now timestamptz) RETURNS SETOF grants LANGUAGE sql STABLE AS $$
    SELECT g.* FROM grants g JOIN clients c ON c.client_id = g.client_id
    WHERE g.ended_at IS NULL AND c.disabled_at IS NULL AND g.epoch >= c.session_epoch
$$;
COMMENT ON FUNCTION live_grants IS 'Families that were not ended, of clients that were not. A credential also needs its session: join live_sessions.';

CREATE FUNCTION live_access_tokens(now timestamptz) RETURNS TABLE (
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
COMMENT ON FUNCTION live_access_tokens IS 'Access tokens that nothing has ended.';
