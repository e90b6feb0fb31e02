DROP INDEX authorization_requests_client, consents_client, sessions_client, session_clients_client, clients_unused;
ALTER TABLE clients DROP COLUMN used_at, DROP COLUMN registration_generation;
