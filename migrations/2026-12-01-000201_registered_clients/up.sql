-- How much strangers have stored by registering clients (RFC 7591): one row, kept by triggers, so that a registration does not
-- count thousands of rows and a server of the version before keeps it, too.
CREATE TABLE registered_clients (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    clients bigint NOT NULL,
    octets bigint NOT NULL
);
COMMENT ON TABLE registered_clients IS 'How many clients registered themselves, and what their metadata take.';
COMMENT ON COLUMN registered_clients.singleton IS 'There is one row.';
COMMENT ON COLUMN registered_clients.clients IS 'How many there are, used or not, ended ones included until they are removed.';
COMMENT ON COLUMN registered_clients.octets IS 'What their metadata take as text.';

CREATE FUNCTION count_registered_client() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    more bigint := 0;
    longer bigint := 0;
BEGIN
    IF TG_OP <> 'DELETE' AND NEW.registration_generation IS NOT NULL THEN
        more := 1;
        longer := octet_length(NEW.metadata::text);
    END IF;
    IF TG_OP <> 'INSERT' AND OLD.registration_generation IS NOT NULL THEN
        more := more - 1;
        longer := longer - octet_length(OLD.metadata::text);
    END IF;
    IF more <> 0 OR longer <> 0 THEN
        UPDATE registered_clients SET clients = clients + more, octets = octets + longer;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION count_registered_client IS 'Keeps registered_clients.';

INSERT INTO registered_clients (clients, octets)
SELECT count(*), coalesce(sum(octet_length(metadata::text)), 0) FROM clients WHERE registration_generation IS NOT NULL;

CREATE TRIGGER count_registered_client AFTER INSERT OR DELETE OR UPDATE OF metadata ON clients
    FOR EACH ROW EXECUTE FUNCTION count_registered_client();
