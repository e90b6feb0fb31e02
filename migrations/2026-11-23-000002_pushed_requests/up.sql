-- Requests that clients push before a browser comes with their request_uri (RFC 9126).
ALTER TABLE authorization_requests ADD COLUMN pushed_at timestamptz;
COMMENT ON COLUMN authorization_requests.pushed_at IS 'When its client pushed it (RFC 9126); null: a browser brought it.';
COMMENT ON COLUMN authorization_requests.session_id IS 'The browser session it belongs to; null until a cookie is seen (pushed, cross-site POST).';
COMMENT ON COLUMN authorization_requests.parameters IS 'The request as a query string, with what a request object said.';
COMMENT ON COLUMN authorization_requests.created_at IS 'When a browser brought it; of a pushed one that no browser has yet, when it was pushed.';
