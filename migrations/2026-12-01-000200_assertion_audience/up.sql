-- Clients that exist were made when an assertion could name the endpoint (RFC 7523 section 3); those made from now on name the
-- issuer. A server of the version before knows neither member, and reads a missing token_endpoint_auth_method as
-- client_secret_basic.
UPDATE clients SET metadata = metadata || '{"assertion_audience": "endpoint"}'
WHERE NOT metadata ? 'assertion_audience' AND client_id <> 'mooring-hub';

-- Whether a client wrote the default down was not kept. Its secret counts in the header and in the body. A declaration that
-- names the method does so again at the next start.
UPDATE clients SET metadata = metadata - 'token_endpoint_auth_method'
WHERE metadata ->> 'token_endpoint_auth_method' = 'client_secret_basic' AND declared_at IS NULL AND client_id <> 'mooring-hub';

COMMENT ON TABLE used_jtis IS 'The jti of client assertions already used (RFC 7523 section 3), once for the window of time of that use and once for the next; windows are a little longer than the hour for which an assertion may be good.';
