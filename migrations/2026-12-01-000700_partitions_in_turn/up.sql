-- A partition is made or dropped by a transaction of its own. One transaction for all of them held the lock on a table, which
-- everybody waits for, until the last one was done.

ALTER TABLE partitioned_tables ADD COLUMN ahead interval NOT NULL DEFAULT '1 hour';
COMMENT ON COLUMN partitioned_tables.ahead IS 'How far a server''s clock may be ahead of the database''s and still have something dropped.';

-- Does the first thing that is due and says what it was; null: nothing is. Runs as its owner, so that the server's role needs no
-- right to create or drop.
--
-- A partition is dropped when it is past keeping by the caller's clock and, give or take an hour, by this database's: a caller whose
-- clock is wrong must not remove what others still need. CREATE then ATTACH takes only a SHARE UPDATE EXCLUSIVE lock on the parent, DROP an ACCESS
-- EXCLUSIVE one; lock_timeout keeps either from queueing everyone behind it for long.
CREATE FUNCTION maintain_a_partition(now timestamptz) RETURNS text
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

-- For servers of the release before: all that is due, in one transaction.
CREATE OR REPLACE FUNCTION maintain_partitions(now timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    changes integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mooring.maintain_partitions'));
    WHILE maintain_a_partition(now) IS NOT NULL LOOP
        changes := changes + 1;
    END LOOP;
    RETURN changes;
END
$$;

-- PostgreSQL lets everybody call a new function. What runs with the owner's rights is for the server's role alone: `mooring migrate`
-- gives it that; a role that had it keeps it.
REVOKE EXECUTE ON FUNCTION maintain_partitions, maintain_a_partition FROM PUBLIC;
