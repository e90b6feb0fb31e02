DROP INDEX throttles_by_end;
ALTER TABLE throttles
    DROP COLUMN empty_at,
    ALTER COLUMN level DROP DEFAULT,
    ALTER COLUMN updated_at DROP DEFAULT;
COMMENT ON TABLE throttles IS 'Leaky buckets of failures, by account and source.';
COMMENT ON COLUMN throttles.level IS 'Failures in the bucket at updated_at; it leaks with time.';
COMMENT ON COLUMN throttles.updated_at IS 'When level was last computed.';
