-- Who may ask for a privileged scope, and who else agreed.

ALTER TABLE users ADD COLUMN groups text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN users.groups IS 'What privileged scopes ask for by name (scope.groups).';

-- Whether a browser is known to its person is read from sessions that have ended, too. One index for both: each further
-- one of this table is a lock of every look-up.
DROP INDEX sessions_user;
CREATE INDEX sessions_user ON sessions (user_id, ended_at) WHERE user_id IS NOT NULL;

CREATE TABLE elevation_requests (
    id                    uuid PRIMARY KEY,
    session_id            uuid NOT NULL REFERENCES sessions,
    request_id            uuid REFERENCES authorization_requests ON DELETE SET NULL,
    user_id               uuid NOT NULL REFERENCES users,
    client_id             text NOT NULL REFERENCES clients,
    scope                 text[] NOT NULL,
    reason                text NOT NULL,
    minutes               integer NOT NULL CHECK (minutes > 0),
    created_at            timestamptz NOT NULL,
    expires_at            timestamptz NOT NULL,
    approver_id           uuid REFERENCES users,
    approver_session_id   uuid REFERENCES sessions,
    approved_at           timestamptz,
    refused_at            timestamptz,
    note                  text,
    voided_at             timestamptz,
    void_reason           text,
    break_glass_at        timestamptz,
    used_at               timestamptz,
    privileged_session_id uuid REFERENCES sessions,
    reviewed_at           timestamptz,
    reviewer_id           uuid REFERENCES users,
    review_note           text,
    CONSTRAINT elevation_requests_four_eyes CHECK (approver_id <> user_id),
    CONSTRAINT elevation_requests_review_by_another CHECK (reviewer_id <> user_id),
    CONSTRAINT elevation_requests_decided_once CHECK (approved_at IS NULL OR refused_at IS NULL),
    CONSTRAINT elevation_requests_decided_by_somebody CHECK (
        (approved_at IS NULL AND refused_at IS NULL) = (approver_id IS NULL)
        AND (approver_id IS NULL) = (approver_session_id IS NULL)),
    CONSTRAINT elevation_requests_used_when_it_stood CHECK (
        used_at IS NULL OR ((approved_at IS NOT NULL OR break_glass_at IS NOT NULL) AND refused_at IS NULL AND voided_at IS NULL)),
    CONSTRAINT elevation_requests_used_in_a_session CHECK ((used_at IS NULL) = (privileged_session_id IS NULL)),
    CHECK (break_glass_at IS NULL OR approver_id IS NULL),
    CHECK ((voided_at IS NULL) = (void_reason IS NULL)),
    CHECK ((reviewed_at IS NULL) = (reviewer_id IS NULL)),
    CHECK (reviewed_at IS NULL OR break_glass_at IS NOT NULL)
);
CREATE UNIQUE INDEX elevation_requests_one_open ON elevation_requests (request_id)
    WHERE refused_at IS NULL AND voided_at IS NULL AND used_at IS NULL;
CREATE INDEX elevation_requests_request ON elevation_requests (request_id) WHERE request_id IS NOT NULL;
-- Removing a session or a client looks here for what refers to it.
CREATE INDEX elevation_requests_session ON elevation_requests (session_id);
CREATE INDEX elevation_requests_approver_session ON elevation_requests (approver_session_id) WHERE approver_session_id IS NOT NULL;
CREATE INDEX elevation_requests_privileged ON elevation_requests (privileged_session_id) WHERE privileged_session_id IS NOT NULL;
CREATE INDEX elevation_requests_client ON elevation_requests (client_id, id);
CREATE INDEX elevation_requests_expires ON elevation_requests (expires_at);
CREATE INDEX elevation_requests_to_review ON elevation_requests (break_glass_at) WHERE break_glass_at IS NOT NULL AND reviewed_at IS NULL;
COMMENT ON TABLE elevation_requests IS 'Privileged work that a second person has to agree to before it begins. An approval is good once, for the authorization request it was asked for.';
COMMENT ON COLUMN elevation_requests.id IS 'UUIDv7.';
COMMENT ON COLUMN elevation_requests.session_id IS 'The user session of whoever asks; it dies with that.';
COMMENT ON COLUMN elevation_requests.request_id IS 'The authorization request that waits for it; null once that has been removed.';
COMMENT ON COLUMN elevation_requests.user_id IS 'Who asks.';
COMMENT ON COLUMN elevation_requests.client_id IS 'For work in which client.';
COMMENT ON COLUMN elevation_requests.scope IS 'The privileged scopes asked for.';
COMMENT ON COLUMN elevation_requests.reason IS 'Why, in the words of whoever asks.';
COMMENT ON COLUMN elevation_requests.minutes IS 'For how long at most.';
COMMENT ON COLUMN elevation_requests.created_at IS 'When it was asked.';
COMMENT ON COLUMN elevation_requests.expires_at IS 'Until when it can be decided and used: that of the authorization request.';
COMMENT ON COLUMN elevation_requests.approver_id IS 'Who decided; never whoever asks.';
COMMENT ON COLUMN elevation_requests.approver_session_id IS 'The privileged session in which they did.';
COMMENT ON COLUMN elevation_requests.approved_at IS 'When it was approved. It counts for as long as its approver may approve.';
COMMENT ON COLUMN elevation_requests.refused_at IS 'When it was refused.';
COMMENT ON COLUMN elevation_requests.note IS 'What whoever decided wants whoever asks to know.';
COMMENT ON COLUMN elevation_requests.voided_at IS 'When it came to nothing without being refused or used.';
COMMENT ON COLUMN elevation_requests.void_reason IS 'Why: lapsed, withdrawn, session_ended, approver_lost_rights.';
COMMENT ON COLUMN elevation_requests.break_glass_at IS 'When whoever asks went on without a second person; somebody else has to review that.';
COMMENT ON COLUMN elevation_requests.used_at IS 'When a code was issued by it.';
COMMENT ON COLUMN elevation_requests.privileged_session_id IS 'The privileged session that came of it.';
COMMENT ON COLUMN elevation_requests.reviewed_at IS 'When a break-glass was reviewed; until then the review is open.';
COMMENT ON COLUMN elevation_requests.reviewer_id IS 'Who reviewed it; never whoever asked.';
COMMENT ON COLUMN elevation_requests.review_note IS 'What they found.';
