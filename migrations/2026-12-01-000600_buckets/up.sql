-- A leaky bucket is one instant: when it will be empty. What it holds is the time until then. So a bucket can be removed as
-- soon as it is empty, whatever it counts, and counting is one comparison. Buckets of the version before have other keys.
ALTER TABLE throttles
    ADD COLUMN empty_at timestamptz NOT NULL DEFAULT now() + interval '1 day',
    ALTER COLUMN level SET DEFAULT 0,
    ALTER COLUMN updated_at SET DEFAULT now();
CREATE INDEX throttles_by_end ON throttles (empty_at);
COMMENT ON TABLE throttles IS 'Leaky buckets of guesses and of what strangers store, by account, device and source.';
COMMENT ON COLUMN throttles.empty_at IS 'When the bucket is empty again, unless more is counted; then the row means nothing and goes.';
COMMENT ON COLUMN throttles.level IS 'Read by the version before: failures in the bucket at updated_at.';
COMMENT ON COLUMN throttles.updated_at IS 'Read by the version before: when level was last computed.';
