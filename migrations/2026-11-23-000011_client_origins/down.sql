DROP INDEX clients_origins;
DROP FUNCTION client_origins;
