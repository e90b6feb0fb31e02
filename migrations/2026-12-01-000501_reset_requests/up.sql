-- A request for a password reset link is answered before anything is looked up, so that its time says nothing about the person.

CREATE TABLE reset_requests (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    request_id  uuid,
    asked_at    timestamptz NOT NULL,
    source_hash bytea,
    agent_hash  bytea,
    place       text,
    device      text,
    trace       text NOT NULL
);
COMMENT ON TABLE reset_requests IS 'Requests for password reset links that no job has looked at yet. It opens nothing.';
COMMENT ON COLUMN reset_requests.id IS 'UUIDv7.';
COMMENT ON COLUMN reset_requests.name IS 'The username or address as it was typed.';
COMMENT ON COLUMN reset_requests.request_id IS 'The authorization request that the password is wanted for.';
COMMENT ON COLUMN reset_requests.asked_at IS 'When it was asked.';
COMMENT ON COLUMN reset_requests.source_hash IS 'Keyed hash of the network address.';
COMMENT ON COLUMN reset_requests.agent_hash IS 'Keyed hash of the user agent.';
COMMENT ON COLUMN reset_requests.place IS 'Coarse network, for the mail.';
COMMENT ON COLUMN reset_requests.device IS 'Coarse device, for the mail.';
COMMENT ON COLUMN reset_requests.trace IS 'The request id of the log.';

-- Links of the last day are counted by person.
DROP INDEX password_resets_user;
CREATE INDEX password_resets_user ON password_resets (user_id, created_at);
COMMENT ON COLUMN password_resets.created_at IS 'When it was asked for; a password that changed since kills it. Another link does not.';
