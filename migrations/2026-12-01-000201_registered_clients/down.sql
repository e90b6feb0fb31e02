DROP TRIGGER count_registered_client ON clients;
DROP FUNCTION count_registered_client;
DROP TABLE registered_clients;
