//! Indexes of large tables, built before the migration that wants them, without holding up those who write.
//!
//! `CREATE INDEX` in a migration locks the table until the migration commits. What is built here with `CONCURRENTLY` is found there by
//! `IF NOT EXISTS`, or attached to the index of a partitioned table. On a new database the migration builds it: there is nothing in it.

use diesel::{QueryResult, QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::connection::Conn;

/// The migration that wants them, and what follows `CREATE INDEX name ON table`.
struct Wanted {
    migration: &'static str,
    name: &'static str,
    table: &'static str,
    definition: &'static str,
}

const fn wanted(migration: &'static str, name: &'static str, table: &'static str, definition: &'static str) -> Wanted {
    Wanted { migration, name, table, definition }
}

/// The same as in the migrations, word for word: a test compares them.
const WANTED: &[Wanted] = &[
    wanted(
        "20261201000800",
        "sessions_ended_early",
        "sessions",
        "(ended_at) WHERE ended_at IS NOT NULL AND end_reason NOT IN ('expired', 'idle')",
    ),
    wanted("20261201000800", "authorization_requests_expires", "authorization_requests", "(expires_at)"),
    wanted(
        "20261201000801",
        "sessions_leaving",
        "sessions",
        "(look_at) WHERE ended_at IS NOT NULL AND look_at < 'infinity'",
    ),
    wanted("20261201000801", "sessions_forgotten", "sessions", "(id) WHERE look_at = 'infinity' AND ended_at IS NULL"),
    wanted("20261201000801", "sessions_kind", "sessions", "(kind, id)"),
    wanted("20261201000801", "audit_events_kind", "audit_events", "(kind, id) WHERE kind <> 'user'"),
];

/// Builds those that the missing migrations want. What cannot be built is left to its migration.
pub(super) async fn build(conn: &Conn, missing: &[String]) -> QueryResult<()> {
    for index in WANTED.iter().filter(|index| missing.iter().any(|version| version == index.migration)) {
        for (name, table) in load_parts(conn, index).await? {
            build_one(conn, &name, &table, index.definition).await?;
        }
    }
    Ok(())
}

async fn build_one(conn: &Conn, name: &str, table: &str, definition: &str) -> QueryResult<()> {
    drop_invalid(conn, name).await?;
    tracing::info!(index = name, table, "building an index; this may wait for older transactions, and holds up nobody");
    let built = conn.run(&format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {definition}")).await;
    if let Err(error) = built {
        tracing::warn!(index = name, table, %error, "the index is left to its migration");
        drop_invalid(conn, name).await?;
    }
    Ok(())
}

/// The index and its table; of a partitioned table, an index for each of its partitions.
async fn load_parts(mut conn: &Conn, index: &Wanted) -> QueryResult<Vec<(String, String)>> {
    #[derive(QueryableByName)]
    struct Part {
        #[diesel(sql_type = sql::Text)]
        name: String,
        #[diesel(sql_type = sql::Text)]
        tab: String,
    }
    let parts: Vec<Part> = diesel::sql_query(
        "SELECT quote_ident(CASE WHEN c.relispartition THEN c.relname || replace($2, $1, '') ELSE $2 END) AS name, \
         c.oid::regclass::text AS tab FROM pg_class c WHERE c.relkind = 'r' \
         AND (c.oid = to_regclass($1) OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid \
             AND i.inhparent = to_regclass($1))) ORDER BY c.relname",
    )
    .bind::<sql::Text, _>(index.table)
    .bind::<sql::Text, _>(index.name)
    .load(&mut conn)
    .await?;
    Ok(parts.into_iter().map(|part| (part.name, part.tab)).collect())
}

/// One that was begun and not finished answers nothing.
async fn drop_invalid(mut conn: &Conn, name: &str) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql::Bool)]
        is_invalid: bool,
    }
    let found: Found = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid) AS is_invalid",
    )
    .bind::<sql::Text, _>(name)
    .get_result(&mut conn)
    .await?;
    if found.is_invalid { conn.run(&format!("DROP INDEX CONCURRENTLY {name}")).await } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_one_that_its_migration_wants() {
        let migrations = [
            include_str!("../../migrations/2026-12-01-000800_jobs_by_index/up.sql"),
            include_str!("../../migrations/2026-12-01-000801_removal/up.sql"),
        ];
        for Wanted { name, table, definition, .. } in WANTED {
            let statement = format!("CREATE INDEX IF NOT EXISTS {name} ON {table} {definition};");
            assert!(migrations.iter().any(|migration| migration.contains(&statement)), "{statement}");
        }
    }
}
