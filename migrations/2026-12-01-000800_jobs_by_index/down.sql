CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
DROP INDEX sessions_ended_early, authorization_requests_expires, authorization_requests_unseen, elevation_requests_open,
    users_known, clients_declared;
