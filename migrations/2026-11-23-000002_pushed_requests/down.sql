ALTER TABLE authorization_requests DROP COLUMN pushed_at;
COMMENT ON COLUMN authorization_requests.session_id IS 'The browser session it belongs to; null until a cookie is seen (cross-site POST).';
COMMENT ON COLUMN authorization_requests.parameters IS 'The request as a query string.';
COMMENT ON COLUMN authorization_requests.created_at IS 'When it came.';
