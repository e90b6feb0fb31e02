DROP FUNCTION live_access_tokens, live_grants, live_sessions, missing_partitions, maintain_partitions, uuid_floor;
DROP TABLE partitioned_tables, audit_events, throttles, set_up_links, signing_keys, used_jtis, access_tokens,
    authorization_codes, authorization_requests, grants, session_clients, session_activity, sessions, consents, clients,
    credentials, users;
