-- How strongly a person proved who they are, and the privileged sessions that come of it.

-- ── factors: passkeys, one-time codes and recovery codes beside passwords ──────────────────────────────────────────
ALTER TABLE credentials
    ADD COLUMN label        text,
    ADD COLUMN handle       bytea,
    ADD COLUMN passkey      jsonb,
    ADD COLUMN sealed       bytea,
    ADD COLUMN last_step    bigint,
    ADD COLUMN attested_at  timestamptz,
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspend_reason text;
COMMENT ON COLUMN credentials.secret_hash IS 'Password: Argon2id in PHC form. Recovery code: keyed hash, base64url.';
COMMENT ON COLUMN credentials.changed_at IS 'When the secret last changed.';
COMMENT ON COLUMN credentials.ended_at IS 'When it was withdrawn, or used up.';
COMMENT ON COLUMN credentials.label IS 'What its person calls it.';
COMMENT ON COLUMN credentials.handle IS 'Passkey: the WebAuthn credential id.';
COMMENT ON COLUMN credentials.passkey IS 'Passkey: public key, counter and flags as the library keeps them.';
COMMENT ON COLUMN credentials.sealed IS 'TOTP: the shared secret, sealed under the master secret.';
COMMENT ON COLUMN credentials.last_step IS 'TOTP: the latest time step whose code was taken; a code is good once.';
COMMENT ON COLUMN credentials.attested_at IS 'Passkey: when an attestation showed that its key cannot leave its hardware; null: nobody vouches for it.';
COMMENT ON COLUMN credentials.last_used_at IS 'When it last proved something.';
COMMENT ON COLUMN credentials.suspended_at IS 'When it was taken out of use without its person asking.';
COMMENT ON COLUMN credentials.suspend_reason IS 'Why: counter_went_back.';
-- The same passkey cannot be two persons'; an ended one may be enrolled again.
CREATE UNIQUE INDEX credentials_handle ON credentials (handle) WHERE handle IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX credentials_one_totp ON credentials (user_id) WHERE kind = 'totp' AND ended_at IS NULL;
CREATE INDEX credentials_user ON credentials (user_id, kind) WHERE ended_at IS NULL;

-- ── ceremonies ─────────────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE ceremonies (
    id          uuid PRIMARY KEY,
    session_id  uuid NOT NULL REFERENCES sessions,
    purpose     text NOT NULL CHECK (purpose IN ('enrol', 'sign_in', 'second_factor')),
    request_id  uuid REFERENCES authorization_requests ON DELETE CASCADE,
    user_id     uuid REFERENCES users,
    state       jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    consumed_at timestamptz
);
COMMENT ON TABLE ceremonies IS 'A proof that a person was asked for and has not given yet: a WebAuthn challenge, or the code after a password. Good once.';
COMMENT ON COLUMN ceremonies.id IS 'UUIDv7.';
COMMENT ON COLUMN ceremonies.session_id IS 'The browser session that was asked; nobody else can answer.';
COMMENT ON COLUMN ceremonies.purpose IS 'enrol (a new passkey), sign_in (a passkey; also signing in again), second_factor (a code after the password).';
COMMENT ON COLUMN ceremonies.request_id IS 'The authorization request, and so the scopes, that it is for; null: a page of our own.';
COMMENT ON COLUMN ceremonies.user_id IS 'Who must answer; null: whoever has a passkey.';
COMMENT ON COLUMN ceremonies.state IS 'What the answer is verified against: the challenge and the credentials allowed.';
COMMENT ON COLUMN ceremonies.created_at IS 'When it was asked.';
COMMENT ON COLUMN ceremonies.expires_at IS 'Until when it may be answered.';
COMMENT ON COLUMN ceremonies.consumed_at IS 'When it was answered, rightly or wrongly.';
CREATE INDEX ceremonies_session ON ceremonies (session_id);
CREATE INDEX ceremonies_expires ON ceremonies (expires_at);
CREATE INDEX ceremonies_request ON ceremonies (request_id) WHERE request_id IS NOT NULL;

-- ── what was proved for a request ──────────────────────────────────────────────────────────────────────────────────
-- A proof counts for the request that it was asked for and for no other: whoever waits with a request of their own until
-- the person proves themselves to somebody else gets nothing.
ALTER TABLE authorization_requests
    ADD COLUMN proved_at  timestamptz,
    ADD COLUMN proved_by  uuid REFERENCES users,
    ADD COLUMN proved_acr text,
    ADD COLUMN proved_amr text[],
    ADD COLUMN declined_at timestamptz,
    ADD COLUMN supersede_at timestamptz;
COMMENT ON COLUMN authorization_requests.proved_at IS 'When a person last proved who they are for this very request.';
COMMENT ON COLUMN authorization_requests.proved_by IS 'Who.';
COMMENT ON COLUMN authorization_requests.proved_acr IS 'How strongly.';
COMMENT ON COLUMN authorization_requests.proved_amr IS 'By what.';
COMMENT ON COLUMN authorization_requests.declined_at IS 'When the person went on without the stronger proof that the client only wished for.';
COMMENT ON COLUMN authorization_requests.supersede_at IS 'When the person agreed that their privileged session in another browser ends for this one.';

-- ── privileged sessions ────────────────────────────────────────────────────────────────────────────────────────────
ALTER TABLE grants ADD COLUMN privileged_session_id uuid REFERENCES sessions;
CREATE INDEX grants_privileged ON grants (privileged_session_id) WHERE privileged_session_id IS NOT NULL;
COMMENT ON COLUMN grants.privileged_session_id IS 'The privileged session that its privileged scopes need; when that is dead, refreshed tokens go without them.';

CREATE TABLE step_ups (
    session_id uuid NOT NULL REFERENCES sessions,
    client_id  text NOT NULL REFERENCES clients,
    scope      text[] NOT NULL,
    acr        text NOT NULL,
    amr        text[] NOT NULL DEFAULT '{}',
    proved_at  timestamptz NOT NULL,
    PRIMARY KEY (session_id, client_id)
);
COMMENT ON TABLE step_ups IS 'The latest proof in a privileged session for a client: while it is fresh, the same client gets the same scopes without another.';
COMMENT ON COLUMN step_ups.session_id IS 'The privileged session.';
COMMENT ON COLUMN step_ups.client_id IS 'For whom the person proved themselves.';
COMMENT ON COLUMN step_ups.scope IS 'The privileged scopes that they were told of.';
COMMENT ON COLUMN step_ups.acr IS 'How strongly.';
COMMENT ON COLUMN step_ups.amr IS 'By what.';
COMMENT ON COLUMN step_ups.proved_at IS 'When.';
CREATE INDEX step_ups_client ON step_ups (client_id, session_id);
