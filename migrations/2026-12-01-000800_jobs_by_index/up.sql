-- What jobs and the start look for is found by an index, however large its table has become.

-- Sessions that were ended, rather than that ended by themselves: a party may have been joining one at that moment.
CREATE INDEX IF NOT EXISTS sessions_ended_early ON sessions (ended_at) WHERE ended_at IS NOT NULL AND end_reason NOT IN ('expired', 'idle');
DROP INDEX sessions_ended;

-- Stored requests that can be removed: an hour after their time where a browser has them, at once where none does.
CREATE INDEX IF NOT EXISTS authorization_requests_expires ON authorization_requests (expires_at);
-- Its condition is more than that no browser has it: a look-up by key says as much, and while the table is small PostgreSQL would
-- read this index from end to end for it.
CREATE INDEX authorization_requests_unseen ON authorization_requests (expires_at)
    WHERE session_id IS NULL AND expires_at < 'infinity';

CREATE INDEX elevation_requests_open ON elevation_requests (expires_at)
    WHERE refused_at IS NULL AND voided_at IS NULL AND used_at IS NULL;

-- Few among many.
CREATE INDEX users_known ON users (username_key) WHERE admin_at IS NOT NULL OR declared_at IS NOT NULL;
CREATE INDEX clients_declared ON clients (client_id) WHERE declared_at IS NOT NULL;
