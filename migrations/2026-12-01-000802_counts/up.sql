-- What is expensive to count is counted by one replica, and read by all.
CREATE TABLE counts (
    name       text NOT NULL,
    kind       text NOT NULL,
    count      bigint NOT NULL,
    counted_at timestamptz NOT NULL,
    PRIMARY KEY (name, kind)
);
COMMENT ON TABLE counts IS 'Figures for the metrics that are expensive to count.';
COMMENT ON COLUMN counts.name IS 'What is counted: sessions_live, notices_pending.';
COMMENT ON COLUMN counts.kind IS 'Of which kind; empty: of all.';
COMMENT ON COLUMN counts.count IS 'How many there were.';
COMMENT ON COLUMN counts.counted_at IS 'When.';
