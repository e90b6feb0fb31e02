//! Bringing a database to the schema of this program.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    connection::BoxableConnection,
    migration::{self, Migration, MigrationMetadata, MigrationName, MigrationSource},
    pg::Pg,
};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    Tx,
    connection::Conn,
    large_indexes,
    rights::{self, Caller, Lacking},
    target::Target,
    work::OrBroken,
};
use crate::failure::{Broken, Stop};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The oldest PostgreSQL that the schema is written for: `security_invoker`, `UNIQUE NULLS NOT DISTINCT`.
pub const OLDEST: u32 = 15;

/// How long a migration waits for a lock. Whoever wants the table meanwhile waits behind it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a migration is tried that gets no lock, and how long others have the table in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// What [`migrate`] did.
#[derive(Debug)]
pub struct Migrated {
    /// How many migrations were applied.
    pub applied: usize,
    /// The roles of servers that were given what they lacked.
    pub given: Vec<String>,
}

/// Applies what is missing as the owner (`migrate_url`), then gives the server's role (`server_url`) what it needs: it
/// may not change or delete audit events. Where `server_url` is the owner's, too, the roles that were given it before get what is
/// new. They get it in the transaction that makes it, for servers of the release before are running.
///
/// A migration that gets no lock within a few seconds is tried again later, so that those servers never wait for long.
///
/// Where nothing is missing it only reads, so a role without the right to change the schema will do.
pub async fn migrate(migrate_url: &str, server_url: &str) -> Result<Migrated, Stop> {
    let owner = Arc::new(Target::parse(migrate_url)?);
    let server = Target::parse(server_url)?;
    let connected = owner.connect_raw().await.map_err(unreachable_database)?;
    if let Some(version) = connected.version.filter(|version| *version < OLDEST) {
        return Err(Stop::new(format_args!("the database is PostgreSQL {version}, which is too old"))
            .mend(format_args!("use version {OLDEST} or later")));
    }
    let conn = connected.for_units(&owner, &Arc::default());
    let caller = rights::find_caller(&conn).await.map_err(failed)?;
    let missing = missing(&conn).await.map_err(failed)?;
    let is_new = !missing.is_empty();
    let lacking = rights::load_lacking(&conn, &roles(&conn, &caller, server.role()).await?).await.map_err(failed)?;
    if !is_new && lacking.is_empty() {
        return Ok(Migrated { applied: 0, given: Vec::new() });
    }
    refuse(&caller, is_new, &lacking, owner.is_pooled())?;
    // Two starting at once: the second waits, then finds nothing to do.
    conn.run("SELECT pg_advisory_lock(hashtext('mooring.migrate'))").await.map_err(failed)?;
    large_indexes::build(&conn, &missing).await.map_err(failed)?;
    let running = rights::load_given(&conn).await.map_err(failed)?;
    let applied = apply(&owner, &running).await?;
    // What a server would make at its start: until then nothing is missing either.
    if let Err(error) = conn.run("SELECT maintain_partitions(now())").await {
        tracing::warn!(%error, "partitions are made when a server starts");
    }
    let mut given = Vec::new();
    let roles = roles(&conn, &caller, server.role()).await?;
    for lacking in rights::load_lacking(&conn, &roles).await.map_err(failed)? {
        rights::give(&conn, &lacking.role).await.map_err(failed)?;
        given.push(lacking.role);
    }
    conn.run("SELECT pg_advisory_unlock(hashtext('mooring.migrate'))").await.map_err(failed)?;
    Ok(Migrated { applied, given })
}

/// The roles that are to have what a server needs, as far as the caller can see to it.
async fn roles(conn: &Conn, caller: &Caller, server: Option<&str>) -> Result<Vec<String>, Stop> {
    let mut roles = if caller.may_migrate { rights::load_given(conn).await.map_err(failed)? } else { Vec::new() };
    let server = server.unwrap_or(&caller.role);
    if (server != caller.role || !caller.may_migrate) && !roles.iter().any(|role| role == server) {
        roles.push(server.to_owned());
    }
    Ok(roles)
}

/// Refuses where the caller cannot change what has to be changed: a server that is started with its own role alone.
fn refuse(caller: &Caller, is_new: bool, lacking: &[Lacking], is_pooled: bool) -> Result<(), Stop> {
    let role = &caller.role;
    let mend = "run `mooring migrate` with database.migrate_url, which names the role that owns the database";
    match lacking {
        _ if is_new && !caller.may_migrate => Err(Stop::new(format_args!(
            "the database has not the schema of this program, and role {role} may not change it"
        ))
        .mend(mend)),
        [Lacking { role: server, what }, ..] if !caller.may_migrate => {
            Err(Stop::new(format_args!("role {server} lacks rights on {what}, and role {role} may not give them"))
                .mend(mend))
        }
        _ if is_pooled => Err(Stop::new("the database has to be migrated, and a pooler stands before it")
            .mend("name PostgreSQL itself in database.migrate_url, not the pooler")),
        _ => Ok(()),
    }
}

/// Applies what is missing, and says how many that were. `running`: the roles of servers that may be running.
async fn apply(owner: &Target, running: &[String]) -> Result<usize, Stop> {
    let connected = owner.connect_raw().await.map_err(unreachable_database)?;
    let mut harness =
        AsyncMigrationHarness::new(AsyncPgConnection::try_from(connected.client).await.map_err(unreachable_database)?);
    let before = format!("SET LOCAL lock_timeout = {}", LOCK_TIMEOUT.as_millis());
    let after = running.iter().map(|role| rights::giving(role)).collect::<String>();
    let applying = tokio::task::spawn_blocking(move || {
        let pending = harness.pending_migrations(MIGRATIONS).map_err(|error| failed_migration("", &error))?;
        for migration in &pending {
            apply_one(&mut harness, &Guarded { migration: &**migration, before: &before, after: &after })?;
        }
        Ok(pending.len())
    });
    applying.await.map_err(Stop::new)?
}

/// Applies one migration, again and again while it gets no lock.
fn apply_one(harness: &mut AsyncMigrationHarness<AsyncPgConnection>, migration: &Guarded<'_>) -> Result<(), Stop> {
    let name = migration.name().to_string();
    for tried in 1.. {
        let begun = Instant::now();
        let Err(error) = harness.run_migration(migration) else { break };
        // What failed sooner did not wait for a lock for so long.
        if begun.elapsed() < LOCK_TIMEOUT {
            return Err(failed_migration(&name, &error));
        }
        if tried == TRIES {
            return Err(failed_migration(&name, &error).mend(
                "if it got no lock, end what holds it (pg_stat_activity shows old transactions), then run \
                 `mooring migrate` again; what was applied stays",
            ));
        }
        tracing::warn!(migration = name, tried, %error, "the migration is tried again: others may hold a lock");
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// A migration with what is done before and after it in its transaction.
struct Guarded<'a> {
    migration: &'a dyn Migration<Pg>,
    before: &'a str,
    after: &'a str,
}

impl Migration<Pg> for Guarded<'_> {
    fn run(&self, conn: &mut dyn BoxableConnection<Pg>) -> migration::Result<()> {
        conn.batch_execute(self.before)?;
        self.migration.run(conn)?;
        Ok(conn.batch_execute(self.after)?)
    }

    fn revert(&self, conn: &mut dyn BoxableConnection<Pg>) -> migration::Result<()> {
        self.migration.revert(conn)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self.migration.metadata()
    }

    fn name(&self) -> &dyn MigrationName {
        self.migration.name()
    }
}

/// The versions this program has and the database has not.
pub async fn load_pending(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    missing(tx.conn()).await.or_broken("read the applied migrations")
}

async fn missing(mut conn: &Conn) -> QueryResult<Vec<String>> {
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

fn failed_migration(name: &str, error: &dyn std::fmt::Display) -> Stop {
    let space = if name.is_empty() { "" } else { " " };
    Stop::new(format_args!("migration{space}{name} failed: {error}"))
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
