//! Bringing a database to the schema of this program.

use diesel::{QueryResult, migration::MigrationSource, pg::Pg};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Tx, target::Target, work::OrBroken};
use crate::failure::{Broken, Stop};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The oldest PostgreSQL that the schema is written for: `security_invoker`, `UNIQUE NULLS NOT DISTINCT`.
pub const OLDEST: u32 = 15;

/// Applies what is missing as the owner (`migrate_url`), then gives the server's role (`server_url`) what it needs: it
/// may not change or delete audit events. Returns how many were applied.
///
/// Where nothing is missing it only reads, so a role without the right to change the schema will do.
pub async fn migrate(migrate_url: &str, server_url: &str) -> Result<usize, Stop> {
    let owner = Target::parse(migrate_url)?;
    let server = Target::parse(server_url)?;
    let connected = owner.connect_watched().await.map_err(unreachable_database)?;
    if let Some(version) = connected.version.filter(|version| *version < OLDEST) {
        return Err(Stop::new(format_args!("the database is PostgreSQL {version}, which is too old"))
            .mend(format_args!("use version {OLDEST} or later")));
    }
    let mut conn = connected.connection;
    let grantee = server.role().filter(|role| Some(*role) != owner.role());
    if missing(&conn).await.map_err(failed)?.is_empty() && is_given(&mut conn, grantee).await? {
        return Ok(0);
    }
    may_migrate(&mut conn).await?;
    // Two starting at once: the second waits, then finds nothing to do.
    conn.batch_execute("SELECT pg_advisory_lock(hashtext('mooring.migrate'))").await.map_err(failed)?;
    let mut harness = AsyncMigrationHarness::new(conn);
    let (applied, mut conn) = tokio::task::spawn_blocking(move || {
        let applied = harness
            .run_pending_migrations(MIGRATIONS)
            .map(|versions| versions.len())
            .map_err(|error| error.to_string());
        (applied, harness.into_inner())
    })
    .await
    .map_err(Stop::new)?;
    let applied = applied.map_err(|error| Stop::new(format_args!("migration failed: {error}")))?;
    if let Some(role) = grantee
        && (applied > 0 || !has_rights(&mut conn, role).await?)
    {
        grant_rights(&mut conn, role).await?;
    }
    conn.batch_execute("SELECT pg_advisory_unlock(hashtext('mooring.migrate'))").await.map_err(failed)?;
    Ok(applied)
}

/// Whether the server's role has what it needs; the owner has.
async fn is_given(conn: &mut AsyncPgConnection, grantee: Option<&str>) -> Result<bool, Stop> {
    match grantee {
        Some(role) => has_rights(conn, role).await,
        None => Ok(true),
    }
}

/// Refuses a role that cannot change the schema: a server that is started with its own alone.
async fn may_migrate(conn: &mut AsyncPgConnection) -> Result<(), Stop> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        may: bool,
        #[diesel(sql_type = diesel::sql_types::Text)]
        role: String,
    }
    let row: Row = diesel::sql_query(
        "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AND NOT EXISTS (SELECT FROM pg_class \
         WHERE oid = to_regclass('__diesel_schema_migrations') AND NOT pg_has_role(relowner, 'USAGE')) AS may, \
         current_user::text AS role",
    )
    .get_result(conn)
    .await
    .map_err(failed)?;
    if row.may {
        return Ok(());
    }
    let role = row.role;
    Err(Stop::new(format_args!("the database has not the schema of this program, and role {role} may not change it"))
        .mend("run `mooring migrate` with database.migrate_url, which names the role that owns the database"))
}

/// Whether the rights have been given: giving them again would get in the way of whoever makes partitions just now.
async fn has_rights(conn: &mut AsyncPgConnection, role: &str) -> Result<bool, Stop> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        given: bool,
    }
    let row: Row = diesel::sql_query(
        "SELECT has_table_privilege($1, 'partitioned_tables', 'SELECT') AND NOT has_table_privilege($1, 'audit_events', \
         'UPDATE') AND NOT has_table_privilege($1, 'audit_events', 'DELETE') AS given",
    )
    .bind::<diesel::sql_types::Text, _>(role)
    .get_result(conn)
    .await
    .map_err(failed)?;
    Ok(row.given)
}

async fn grant_rights(conn: &mut AsyncPgConnection, role: &str) -> Result<(), Stop> {
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    conn.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
         REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM {role};
         REVOKE ALL ON __diesel_schema_migrations, partitioned_tables FROM {role};
         GRANT SELECT ON __diesel_schema_migrations, partitioned_tables TO {role};
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role};
         DO $$ DECLARE child regclass; BEGIN
             FOR child IN SELECT i.inhrelid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                          WHERE c.relkind = 'r' LOOP
                 EXECUTE format('REVOKE ALL ON %s FROM {role}', child);
             END LOOP;
         END $$"
    ))
    .await
    .map_err(failed)
}

/// The versions this program has and the database has not.
pub async fn load_pending(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    missing(tx.conn()).await.or_broken("read the applied migrations")
}

async fn missing(mut conn: &AsyncPgConnection) -> QueryResult<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Applied {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    #[derive(diesel::QueryableByName)]
    struct Existence {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        missing: bool,
    }
    let is_new: Existence = diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NULL AS missing")
        .get_result(&mut conn)
        .await?;
    let applied: Vec<Applied> = if is_new.missing {
        Vec::new()
    } else {
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(&mut conn).await?
    };
    let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(diesel::result::Error::QueryBuilderError)?;
    Ok(known
        .iter()
        .map(|m| m.name().version().to_string())
        .filter(|version| !applied.iter().any(|row| row.version == *version))
        .collect())
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn unreachable_database(error: diesel::ConnectionError) -> Stop {
    Stop::new(format_args!("the database cannot be reached: {error}"))
        .mend("check DATABASE_URL, or leave it unset to use the embedded PostgreSQL")
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn failed(error: diesel::result::Error) -> Stop {
    Stop::new(format_args!("preparing the database failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two with the same number only one would ever be applied.
    #[test]
    fn every_migration_has_a_number_of_its_own() {
        let mut numbers: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.split('_').next().unwrap().replace('-', ""))
            .collect();
        numbers.sort_unstable();
        assert!(numbers.len() > 10 && numbers.iter().all(|number| number.bytes().all(|c| c.is_ascii_digit())));
        let taken: Vec<_> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(taken.is_empty(), "{taken:?}");
        let known = MigrationSource::<Pg>::migrations(&MIGRATIONS).unwrap();
        assert_eq!(known.len(), numbers.len());
    }
}
