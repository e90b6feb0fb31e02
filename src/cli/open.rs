//! Opening: from a configuration to an application on a database that is ready for it.
//!
//! The same for the server, the demo and every command. What a server does beyond a command: it migrates a database
//! that was given to it, makes the first signing keys and applies what is declared. Invariant: two that open the same
//! database at once leave it as one would have.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use super::{declared, files};
use crate::{
    app::App,
    clock::Clock,
    config::{Config, MasterSource},
    db::{
        self, Database, Trace,
        embedded::{DATABASE, Embedded, Role},
        migrations, partitions, signing_keys,
    },
    failure::{Broken, Stop},
    jose::{MasterSecret, Purpose},
    tokens,
};

/// An application on an open database, and what it stands on.
pub struct Opened {
    pub app: Arc<App>,
    /// The cluster, where it is ours to run.
    pub embedded: Option<Embedded>,
    pub(super) master: MasterSecret,
    /// Where the data is, for people: a directory, or host and database; never a password.
    pub data: String,
}

impl Opened {
    /// Closes the connections and leaves the embedded cluster, which stops unless somebody else uses it.
    pub async fn close(self) -> Result<(), Stop> {
        self.app.db.close();
        match self.embedded {
            Some(embedded) => embedded.stop().await,
            None => Ok(()),
        }
    }
}

/// Opens the database as a server or beside one, and builds the application.
pub async fn open(config: Config, role: Role) -> Result<Opened, Stop> {
    use_one_cryptography();
    let clock = Clock::default();
    // What is wrong with the configuration is said before anything is made.
    let source = config.master_source()?;
    if role == Role::Server {
        files::read_all(&config)?;
    }
    let (embedded, db) = database(&config, &clock, role).await?;
    let opened = on(config, &source, clock, embedded, db).await?;
    if role == Role::Server {
        opened.ready_keys().await?;
        declared::apply(&opened.app, &opened.master).await?;
    }
    Ok(opened)
}

/// Says whose cryptography TLS uses, wherever it is spoken.
pub(super) fn use_one_cryptography() {
    // Whoever came first has installed the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Builds the application on an open database.
pub(super) async fn on(
    config: Config,
    source: &MasterSource,
    clock: Clock,
    embedded: Option<Embedded>,
    db: Database,
) -> Result<Opened, Stop> {
    partitions::maintain(&db, clock.now()).await?;
    let master = master_secret(source, &db, &clock).await?;
    let data = whereabouts(&config, embedded.as_ref());
    let app = App::new(config, clock, db, &master)?;
    Ok(Opened { app, embedded, master, data })
}

/// Opens beside a server, does the work of a command, and closes again whatever came of it.
pub(super) async fn opened(config: Config, command: impl AsyncFnOnce(&Opened) -> Result<(), Stop>) -> Result<(), Stop> {
    let opened = open(config, Role::Command).await?;
    let outcome = command(&opened).await;
    let closed = opened.close().await;
    outcome.and(closed)
}

impl Opened {
    /// Sees to it that every algorithm has a key, and reads the keys: the wrong master secret shows here.
    pub(super) async fn ready_keys(&self) -> Result<(), Stop> {
        let app = &self.app;
        let seal = self.master.derive(Purpose::SealSigningKeys);
        // Before anything is made: a set sealed under another secret must not be mixed with a new one.
        reload_keys(app).await.map_err(|broken| {
            let mends = !broken.is_retryable();
            let stop = Stop::from(broken);
            if mends {
                stop.mend("set secrets.master_file or MOORING_SECRETS__MASTER to the one it was made with")
            } else {
                stop
            }
        })?;
        if !app.mint.keys.are_complete(app.clock.now()) {
            let now = app.clock.now();
            app.db.work(now, &Trace::default(), async |tx| tokens::generate_missing(tx, &seal).await).await?;
            reload_keys(app).await?;
        }
        Ok(())
    }
}

async fn reload_keys(app: &App) -> Result<(), Broken> {
    app.db.single(app.clock.now(), &Trace::default(), async |tx| app.mint.keys.reload(tx).await).await
}

/// The database at the schema of this program: the given one, or the embedded cluster's.
pub(super) async fn database(config: &Config, clock: &Clock, role: Role) -> Result<(Option<Embedded>, Database), Stop> {
    if let Some(url) = &config.database.url {
        let db = Database::for_workers(url, config.database.max_connections, config.server.workers)?;
        if role == Role::Server {
            let owner = config.database.migrate_url.as_deref().unwrap_or(url);
            migrations::migrate(owner, url).await?;
            return Ok((None, db));
        }
        let pending =
            db.single(clock.now(), &Trace::default(), migrations::load_pending).await.map_err(|broken: Broken| {
                Stop::from(broken).mend("check DATABASE_URL, or leave it unset to use the embedded PostgreSQL")
            })?;
        if !pending.is_empty() {
            return Err(Stop::new("the database schema is missing or out of date").mend("run `mooring migrate`"));
        }
        return Ok((None, db));
    }
    let embedded = embedded(config, role).await?;
    let server_url = embedded.server_url(DATABASE);
    migrations::migrate(&embedded.owner_url(DATABASE), &server_url).await?;
    let db = Database::for_workers(&server_url, config.database.max_connections, config.server.workers)?;
    Ok((Some(embedded), db))
}

/// Starts or joins the embedded cluster. A command that makes one says so: it may be looking in the wrong place.
pub(super) async fn embedded(config: &Config, role: Role) -> Result<Embedded, Stop> {
    let embedded = Embedded::start(&config.data_dir, role).await?;
    if embedded.is_new() && role == Role::Command {
        eprintln!("mooring: made a new embedded database in {}", whereabouts(config, Some(&embedded)));
    }
    Ok(embedded)
}

async fn master_secret(source: &MasterSource, db: &Database, clock: &Clock) -> Result<MasterSecret, Stop> {
    match source {
        MasterSource::Given(secret) => MasterSecret::from_bytes(secret.expose().as_bytes()),
        MasterSource::File(file) => read_master(file),
        MasterSource::Generated(file) => {
            if !file.exists() {
                let keys = db.single(clock.now(), &Trace::default(), signing_keys::load_published).await?;
                if !keys.is_empty() && !file.exists() {
                    return Err(Stop::new(format_args!("{} is gone, and keys were sealed under it", file.display()))
                        .mend("put it there again: without it neither keys nor refresh tokens can be used"));
                }
                make_once(file, MasterSecret::generate().as_bytes()).map_err(|error| {
                    Stop::new(format_args!("cannot make the master secret {}: {error}", file.display()))
                })?;
            }
            read_master(file)
        }
    }
}

/// The master secret of a file that is there.
pub(super) fn read_master(file: &Path) -> Result<MasterSecret, Stop> {
    let octets = fs::read(file).map_err(|error| {
        Stop::new(format_args!("cannot read the master secret {}: {error}", file.display()))
            .mend("give secrets.master_file a file that this user may read, or set MOORING_SECRETS__MASTER")
    })?;
    MasterSecret::from_bytes(&octets)
}

/// Makes a file with all of its content or not at all, and never over another: of two that race, one wins.
fn make_once(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all()),
        }
    })();
    let _ = fs::remove_file(&draft);
    written
}

/// Where the data is, for people: a directory, or host and database. As root the cluster may lie elsewhere than the data
/// directory, and a backup needs both.
pub(super) fn whereabouts(config: &Config, embedded: Option<&Embedded>) -> String {
    if let Some(url) = &config.database.url {
        return db::place(url);
    }
    let directory = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
    match embedded.map(Embedded::directory).filter(|cluster| !cluster.starts_with(&directory)) {
        Some(cluster) => format!("{} and {} (back up both)", directory.display(), cluster.display()),
        None => directory.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_master_secret_is_made_once() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = std::env::temp_dir().join(format!("mooring-open-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("master.key");
        make_once(&file, b"first").unwrap();
        make_once(&file, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
