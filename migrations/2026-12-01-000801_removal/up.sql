-- What ended is removed when nothing may refer to it any more, and audit events when their class has been kept for long enough.

-- ── sessions ───────────────────────────────────────────────────────────────────────────────────────────────────────
COMMENT ON COLUMN sessions.look_at IS 'Of one that has not ended: it cannot have died by itself before then. Of one that has: nothing of it can be removed before then. infinity: a visitor who came to nothing, to be removed.';
-- Its condition is more than that the session has ended: see sessions_look.
CREATE INDEX IF NOT EXISTS sessions_leaving ON sessions (look_at) WHERE ended_at IS NOT NULL AND look_at < 'infinity';
-- Visitors who came to nothing: few at a time, for they are removed after a day.
CREATE INDEX IF NOT EXISTS sessions_forgotten ON sessions (id) WHERE look_at = 'infinity' AND ended_at IS NULL;
-- Lists of one kind. It also finds what the index of visitors found.
CREATE INDEX IF NOT EXISTS sessions_kind ON sessions (kind, id);
DROP INDEX sessions_visitors;

-- ── audit events ───────────────────────────────────────────────────────────────────────────────────────────────────
-- Exports of one kind. Most events are of user sessions: finding these by an index is no gain, and keeping it up costs each flow.
CREATE INDEX IF NOT EXISTS audit_events_kind ON audit_events (kind, id) WHERE kind <> 'user';

CREATE FUNCTION audit_class(kind text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN kind = 'visitor' THEN 'visitor' WHEN kind IN ('privileged', 'server') THEN 'privileged' ELSE 'user' END
$$;
COMMENT ON FUNCTION audit_class IS 'The class by which an event of this kind is kept ([retention]): visitor, user or privileged.';

CREATE TABLE audit_removals (
    class  text PRIMARY KEY CHECK (class IN ('visitor', 'user', 'privileged')),
    after  uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
COMMENT ON TABLE audit_removals IS 'How far old audit events were removed, by class.';
COMMENT ON COLUMN audit_removals.class IS 'visitor, user or privileged.';
COMMENT ON COLUMN audit_removals.after IS 'No event of the class is left up to this one.';
INSERT INTO audit_removals (class) VALUES ('visitor'), ('user'), ('privileged');

-- Runs as its owner: the server's role can delete no event. Whoever calls it can remove nothing that is younger than seven days
-- by the clock of the database.
CREATE FUNCTION remove_audit_events(removed_class text, before timestamptz, batch integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    done uuid;
    ids uuid[];
    last uuid;
    looked integer;
BEGIN
    IF before > now() - interval '7 days' THEN
        RAISE 'audit events younger than seven days are kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT after INTO done FROM audit_removals WHERE class = removed_class FOR UPDATE;
    SELECT array_agg(page.id) FILTER (WHERE audit_class(page.kind) = removed_class),
           (array_agg(page.id ORDER BY page.id DESC))[1], count(*)
        INTO ids, last, looked
        FROM (SELECT id, kind FROM audit_events WHERE id > done AND id < uuid_floor(before) ORDER BY id LIMIT batch) page;
    IF last IS NOT NULL THEN
        DELETE FROM audit_events WHERE id > done AND id <= last AND id = ANY (ids);
        UPDATE audit_removals SET after = last WHERE class = removed_class;
    END IF;
    RETURN looked;
END
$$;
COMMENT ON FUNCTION remove_audit_events IS 'Removes events of a class that were written before an instant, a batch at a time. Returns how many events it looked at: fewer than the batch, and it is done.';

CREATE FUNCTION drop_audit_partition(before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    seconds bigint;
    old text;
BEGIN
    IF before > now() - interval '7 days' THEN
        RAISE 'audit events younger than seven days are kept' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT extract(epoch FROM period) INTO seconds FROM partitioned_tables WHERE name = 'audit_events';
    SELECT c.relname INTO old FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_events'::regclass
          AND to_timestamp(substring(c.relname FROM '[0-9]+$')::bigint + seconds) < before
        ORDER BY c.relname LIMIT 1;
    IF old IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', old);
    END IF;
    RETURN old;
END
$$;
COMMENT ON FUNCTION drop_audit_partition IS 'Drops the oldest partition of audit_events that ends before an instant. Returns its name; null: there is none.';
REVOKE EXECUTE ON FUNCTION remove_audit_events, drop_audit_partition FROM PUBLIC;
