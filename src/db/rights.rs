//! What the role of a server may do in the database: everything that a server does, and nothing to audit events but add to them.

use diesel::{QueryResult, QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::connection::Conn;

/// Who is connected.
#[derive(QueryableByName)]
pub(super) struct Caller {
    #[diesel(sql_type = sql::Text)]
    pub(super) role: String,
    /// Whether it can change the schema.
    #[diesel(sql_type = sql::Bool)]
    pub(super) may_migrate: bool,
}

/// A role that lacks something.
#[derive(QueryableByName)]
pub(super) struct Lacking {
    #[diesel(sql_type = sql::Text)]
    pub(super) role: String,
    /// The first of what it may not use, or may use too freely.
    #[diesel(sql_type = sql::Text)]
    pub(super) what: String,
}

pub(super) async fn find_caller(mut conn: &Conn) -> QueryResult<Caller> {
    diesel::sql_query(
        "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS (SELECT FROM pg_class \
         WHERE oid = to_regclass('__diesel_schema_migrations') AND NOT pg_has_role(relowner, 'USAGE')) AS may_migrate, \
         current_user::text AS role",
    )
    .get_result(&mut conn)
    .await
}

/// The roles that were given what a server needs: they may write to `sessions`, and do not own it.
pub(super) async fn load_given(mut conn: &Conn) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Role {
        #[diesel(sql_type = sql::Text)]
        role: String,
    }
    let roles: Vec<Role> = diesel::sql_query(
        "SELECT DISTINCT r.rolname::text AS role FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a \
         JOIN pg_roles r ON r.oid = a.grantee WHERE c.oid = to_regclass('sessions') AND a.privilege_type = 'INSERT' \
         AND a.grantee <> c.relowner ORDER BY 1",
    )
    .load(&mut conn)
    .await?;
    Ok(roles.into_iter().map(|role| role.role).collect())
}

/// Those of `roles` that lack something of ours. Nobody lacks what is not there yet.
pub(super) async fn load_lacking(mut conn: &Conn, roles: &[String]) -> QueryResult<Vec<Lacking>> {
    diesel::sql_query(
        "WITH ours AS (SELECT relowner AS owner FROM pg_class WHERE oid = to_regclass('sessions')), \
         role AS (SELECT r.rolname, r.oid, pg_has_role(r.oid, o.owner, 'USAGE') AS owns FROM pg_roles r, ours o \
             WHERE r.rolname = ANY ($1)), \
         lacking AS (SELECT r.rolname, 'schema public' AS what FROM role r \
                 WHERE NOT has_schema_privilege(r.oid, 'public', 'USAGE') \
             UNION ALL SELECT r.rolname, 'table ' || c.relname FROM role r, ours o, pg_class c \
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
                 AND c.relowner = o.owner AND NOT (has_table_privilege(r.oid, c.oid, 'SELECT') \
                 AND (c.relname IN ('__diesel_schema_migrations', 'partitioned_tables') \
                     OR has_table_privilege(r.oid, c.oid, 'INSERT')) \
                 AND (c.relname IN ('__diesel_schema_migrations', 'partitioned_tables', 'audit_events') \
                     OR (has_table_privilege(r.oid, c.oid, 'UPDATE') AND has_table_privilege(r.oid, c.oid, 'DELETE')))) \
             UNION ALL SELECT r.rolname, 'function ' || p.proname FROM role r, ours o, pg_proc p \
                 WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = o.owner \
                 AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE') \
             UNION ALL SELECT r.rolname, 'table audit_events, which it may change' FROM role r WHERE NOT r.owns \
                 AND (has_table_privilege(r.oid, 'audit_events', 'UPDATE') \
                 OR has_table_privilege(r.oid, 'audit_events', 'DELETE'))) \
         SELECT rolname::text AS role, min(what) AS what FROM lacking GROUP BY rolname ORDER BY 1",
    )
    .bind::<sql::Array<sql::Text>, _>(roles)
    .load(&mut conn)
    .await
}

/// Gives a role what a server needs, and no more.
pub(super) async fn give(conn: &Conn, role: &str) -> QueryResult<()> {
    conn.run(&giving(role)).await
}

/// The statements that give it. No partition is made or dropped meanwhile.
pub(super) fn giving(role: &str) -> String {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let in_format = role.replace('\'', "''").replace('%', "%%");
    format!(
        "SELECT pg_advisory_xact_lock(hashtext('mooring.maintain_partitions'));
         GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM {role};
         REVOKE ALL ON __diesel_schema_migrations, partitioned_tables FROM {role};
         GRANT SELECT ON __diesel_schema_migrations, partitioned_tables TO {role};
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role};
         DO $$ DECLARE child regclass; BEGIN
             FOR child IN SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                          WHERE c.relkind = 'r' LOOP
                 EXECUTE format('REVOKE ALL ON %s FROM {in_format}', child);
             END LOOP;
         END $$;"
    )
}
