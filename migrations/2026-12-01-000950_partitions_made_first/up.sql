-- A missing partition stops work; an old one only takes room. So all that is missing is made before anything is dropped, and what
-- fails for one table or partition keeps nothing of the others from being done.

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
    failure text;
    failure_code text;
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
            BEGIN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, t.name);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', t.name, child, lower_bound, upper_bound);
                RETURN 'made ' || child;
            EXCEPTION WHEN OTHERS THEN
                failure := coalesce(failure, 'partition ' || child || ' is not made: ' || SQLERRM);
                failure_code := coalesce(failure_code, SQLSTATE);
            END;
        END LOOP;
    END LOOP;
    -- Three of a table: a reader of the whole table holds up each of them, and everybody waits behind each attempt.
    FOR victim IN SELECT old.name FROM partitioned_tables p CROSS JOIN LATERAL partitions_past_keeping(p, now, 3) AS old (name)
        WHERE p.keep IS NOT NULL LOOP
        BEGIN
            EXECUTE format('DROP TABLE %I', victim);
            RETURN 'dropped ' || victim;
        EXCEPTION WHEN lock_not_available THEN
            NULL; -- It is due at the next turn, too.
        END;
    END LOOP;
    IF failure IS NOT NULL THEN
        RAISE EXCEPTION '%', failure USING ERRCODE = failure_code;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION maintain_a_partition IS 'Makes one missing partition of now and the next three periods; where none is missing, drops one past keeping of which it gets the lock. Returns what it did; null: nothing could be done.';

-- A partition is dropped when it is past keeping by the caller's clock and, give or take partitioned_tables.ahead, by this database's:
-- a caller whose clock is wrong must not remove what others still need.
CREATE FUNCTION partitions_past_keeping(t partitioned_tables, now timestamptz, batch integer) RETURNS SETOF text
LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = t.name::regclass
      AND to_timestamp(substring(c.relname FROM '[0-9]+$')::bigint + extract(epoch FROM t.period)) + t.keep < least($2, clock_timestamp() + t.ahead)
    ORDER BY c.relname LIMIT batch
$$;
COMMENT ON FUNCTION partitions_past_keeping IS 'The oldest partitions of a table that are past keeping, at most so many.';

CREATE FUNCTION undropped_partitions(now timestamptz) RETURNS text[]
LANGUAGE sql SET search_path = public, pg_temp AS $$
    SELECT coalesce(array_agg(old.name), '{}')
    FROM partitioned_tables p CROSS JOIN LATERAL partitions_past_keeping(p, $1, 100) AS old (name) WHERE p.keep IS NOT NULL
$$;
COMMENT ON FUNCTION undropped_partitions IS 'The partitions past keeping that are still there: after maintain_a_partition had nothing to do, those of which it got no lock.';
