CREATE OR REPLACE FUNCTION maintain_a_partition(now timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '20ms' AS $$
DECLARE
    t partitioned_tables;
    seconds bigint;
    n bigint;
    first_period bigint;
    child text;
    lower_bound text;
    upper_bound text;
    victim text;
BEGIN
    -- More than any clock is wrong by that somebody has set.
    IF now IS NULL OR now NOT BETWEEN clock_timestamp() - interval '10 years' AND clock_timestamp() + interval '10 years' THEN
        RAISE EXCEPTION 'partitions are not made for %: the clock of this database says %', now, clock_timestamp()
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Set the clocks of both machines.';
    END IF;
    -- Another is at it: it does what is due.
    IF NOT pg_try_advisory_xact_lock(hashtext('mooring.maintain_partitions')) THEN
        RAISE EXCEPTION 'another server is making partitions' USING ERRCODE = 'lock_not_available';
    END IF;
    FOR t IN SELECT * FROM partitioned_tables ORDER BY name LOOP
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
            RETURN 'made ' || child;
        END LOOP;
        CONTINUE WHEN t.keep IS NULL;
        SELECT c.relname INTO victim FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = t.name::regclass
              AND to_timestamp((regexp_replace(c.relname, '^.*_', '')::bigint + seconds)) + t.keep < least(now, clock_timestamp() + t.ahead)
            ORDER BY c.relname LIMIT 1;
        IF FOUND THEN
            EXECUTE format('DROP TABLE %I', victim);
            RETURN 'dropped ' || victim;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION maintain_a_partition IS 'Makes one missing partition of now and the next three periods, or drops one past keeping. Returns what it did; null: nothing is due.';
DROP FUNCTION undropped_partitions;
DROP FUNCTION partitions_past_keeping;
