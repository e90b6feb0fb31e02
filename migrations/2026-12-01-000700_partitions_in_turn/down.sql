DROP FUNCTION maintain_a_partition;
CREATE OR REPLACE FUNCTION maintain_partitions(now timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    t partitioned_tables;
    seconds bigint;
    n bigint;
    first_period bigint;
    child text;
    lower_bound text;
    upper_bound text;
    victim record;
    changes integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mooring.maintain_partitions'));
    FOR t IN SELECT * FROM partitioned_tables LOOP
        seconds := extract(epoch FROM t.period);
        first_period := floor(extract(epoch FROM now) / seconds);
        FOR n IN first_period - 1 .. first_period + 3 LOOP
            child := t.name || '_' || (n * seconds);
            CONTINUE WHEN to_regclass(child) IS NOT NULL;
            -- The past is only for clocks that disagree a little at a new server.
            CONTINUE WHEN n < first_period AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = t.name::regclass);
            lower_bound := CASE WHEN t.by_uuid THEN uuid_floor(to_timestamp(n * seconds))::text ELSE to_timestamp(n * seconds)::text END;
            upper_bound := CASE WHEN t.by_uuid THEN uuid_floor(to_timestamp((n + 1) * seconds))::text ELSE to_timestamp((n + 1) * seconds)::text END;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, t.name);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', t.name, child, lower_bound, upper_bound);
            changes := changes + 1;
        END LOOP;
        CONTINUE WHEN t.keep IS NULL;
        FOR victim IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = t.name::regclass
              AND to_timestamp((regexp_replace(c.relname, '^.*_', '')::bigint + seconds)) + t.keep < now
        LOOP
            EXECUTE format('DROP TABLE %I', victim.relname);
            changes := changes + 1;
        END LOOP;
    END LOOP;
    RETURN changes;
END
$$;
GRANT EXECUTE ON FUNCTION maintain_partitions TO PUBLIC;
ALTER TABLE partitioned_tables DROP COLUMN ahead;
