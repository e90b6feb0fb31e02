-- Clients that register themselves (RFC 7591) and manage what they registered (RFC 7592).
ALTER TABLE clients
    ADD COLUMN registration_generation integer,
    ADD COLUMN used_at timestamptz;
COMMENT ON COLUMN clients.registration_generation IS 'Of a client that registered itself: its registration access token is an HMAC of its id and this, so that one more makes the old one dead. Null: declared, or added by an operator.';
COMMENT ON COLUMN clients.used_at IS 'Of a client that registered itself: since when it is known to have taken part in a session; null: not yet, so it may expire.';

-- Those that nobody has used: few, counted at every registration, and looked through for what has expired.
CREATE INDEX clients_unused ON clients (created_at) WHERE registration_generation IS NOT NULL AND used_at IS NULL;
-- Removing a client looks in each of these for what refers to it. They hold the whole key: the planner, which plans on
-- small tables, may take them for a look-up by key, too.
CREATE INDEX session_clients_client ON session_clients (client_id, session_id);
CREATE INDEX sessions_client ON sessions (client_id, kind, id) WHERE client_id IS NOT NULL;
CREATE INDEX consents_client ON consents (client_id, user_id);
CREATE INDEX authorization_requests_client ON authorization_requests (client_id, id);
