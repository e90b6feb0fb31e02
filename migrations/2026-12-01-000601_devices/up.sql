-- A browser in which a person has signed in is known by a cookie of its own, for each person apart. It is no credential: whoever
-- has it still has to prove who they are, but what strangers do does not keep them from trying.
CREATE TABLE devices (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    secret_hash   bytea NOT NULL,
    previous_hash bytea,
    rotated_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    used_at       timestamptz NOT NULL,
    label         text,
    UNIQUE (user_id, secret_hash)
);
CREATE INDEX devices_by_person ON devices (user_id, used_at, id);
CREATE INDEX devices_by_secret ON devices (secret_hash, used_at, id);
CREATE INDEX devices_by_previous ON devices (previous_hash) WHERE previous_hash IS NOT NULL;
CREATE INDEX devices_by_use ON devices (used_at);
COMMENT ON TABLE devices IS 'Browsers in which a person has signed in, known by a cookie. It proves nobody, and opens nothing.';
COMMENT ON COLUMN devices.id IS 'UUIDv7.';
COMMENT ON COLUMN devices.user_id IS 'The person.';
COMMENT ON COLUMN devices.secret_hash IS 'SHA-256 of the 256 random bits in the cookie; people who share a browser share it.';
COMMENT ON COLUMN devices.previous_hash IS 'The one before: a browser that did not get the present one still shows it.';
COMMENT ON COLUMN devices.rotated_at IS 'When the browser was given the present cookie.';
COMMENT ON COLUMN devices.created_at IS 'When the person first signed in there.';
COMMENT ON COLUMN devices.used_at IS 'When they last did.';
COMMENT ON COLUMN devices.label IS 'Browser and system in words, such as Firefox on Linux.';
