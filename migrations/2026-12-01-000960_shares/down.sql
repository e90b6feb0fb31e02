ALTER TABLE password_resets DROP COLUMN codes;
COMMENT ON COLUMN reset_requests.source_hash IS 'Keyed hash of the network address.';
DROP INDEX reset_requests_source;
ALTER TABLE reset_requests DROP COLUMN turn_at;
