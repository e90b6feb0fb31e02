-- People are written to, and may choose a new password by what was written to them.

-- ── mail, in the same outbox as what relying parties are told ──────────────────────────────────────────────────────
ALTER TABLE notices
    DROP CONSTRAINT notices_kind_check,
    ALTER COLUMN session_id DROP NOT NULL,
    ALTER COLUMN client_id DROP NOT NULL,
    ALTER COLUMN sid DROP NOT NULL,
    ADD COLUMN template text,
    ADD COLUMN detail jsonb,
    ADD CONSTRAINT notices_kind_check CHECK (CASE kind
        WHEN 'backchannel_logout' THEN session_id IS NOT NULL AND client_id IS NOT NULL AND sid IS NOT NULL
        WHEN 'mail' THEN user_id IS NOT NULL AND template IS NOT NULL AND detail IS NOT NULL
        ELSE false END);
COMMENT ON COLUMN notices.kind IS 'backchannel_logout, mail.';
COMMENT ON COLUMN notices.session_id IS 'The session that ended; null for mail.';
COMMENT ON COLUMN notices.client_id IS 'The relying party to tell; null for mail.';
COMMENT ON COLUMN notices.sid IS 'The name under which it knows the session; null for mail.';
COMMENT ON COLUMN notices.user_id IS 'Who was signed in; whom to write to.';
COMMENT ON COLUMN notices.created_at IS 'When it was queued: when the session ended.';
COMMENT ON COLUMN notices.delivered_at IS 'When the relying party, or the mail server, took it.';
COMMENT ON COLUMN notices.template IS 'Mail: what it says.';
COMMENT ON COLUMN notices.detail IS 'Mail: what the template is told, no secret among it.';
CREATE INDEX notices_mail ON notices (due_at) WHERE kind = 'mail' AND delivered_at IS NULL AND abandoned_at IS NULL;

-- ── forgotten passwords ────────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE password_resets (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
COMMENT ON TABLE password_resets IS 'One-time links by which a person chooses a new password. The secret of one is an HMAC of its id: nothing of it is stored.';
COMMENT ON COLUMN password_resets.id IS 'UUIDv7.';
COMMENT ON COLUMN password_resets.user_id IS 'Whose password.';
COMMENT ON COLUMN password_resets.created_at IS 'When it was asked for; a password that changed since kills it.';
COMMENT ON COLUMN password_resets.expires_at IS 'Until when it may be used.';
COMMENT ON COLUMN password_resets.used_at IS 'When it was used.';
CREATE INDEX password_resets_user ON password_resets (user_id);
CREATE INDEX password_resets_expires ON password_resets (expires_at);
CREATE INDEX users_email ON users (lower(claims->>'email')) WHERE claims ? 'email';
