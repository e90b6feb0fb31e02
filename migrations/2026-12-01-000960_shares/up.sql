-- Requests for reset links are answered in turn by source, and a link dies of wrong codes.

ALTER TABLE reset_requests ADD COLUMN turn_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN reset_requests.turn_at IS 'Its turn: when it was asked, and a second more for each that waited from its source.';
COMMENT ON COLUMN reset_requests.source_hash IS 'Keyed hash of the network address; those of one source go in turn with those of others.';
CREATE INDEX reset_requests_turn ON reset_requests (turn_at, id);
CREATE INDEX reset_requests_source ON reset_requests (source_hash);

ALTER TABLE password_resets ADD COLUMN codes integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN password_resets.codes IS 'How many codes of an authenticator app were given with it; the link dies of the fifth wrong one.';
