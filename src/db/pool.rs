//! Connections: how they are made, pooled and counted.

use std::{
    cell::RefCell,
    path::Path,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool::managed::QueueMode;
use diesel::{ConnectionError, connection::InstrumentationEvent};
use diesel_async::{
    AsyncConnection, AsyncPgConnection,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool, PoolError},
    },
};
use futures_util::FutureExt;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::sync::Notify;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::{Broken, Stop};

/// How long a request waits for a connection before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// The server's way to PostgreSQL; cheap to clone.
///
/// A worker thread that calls [`Database::adopt_thread`] has connections of its own, which are driven on that very
/// thread: a statement then costs no wake-up of another one. Everything else shares one pool.
#[derive(Clone)]
pub struct Database {
    shared: Pool<AsyncPgConnection>,
    workers: Arc<Workers>,
    statements: Arc<AtomicU64>,
    outbox: Arc<Notify>,
}

/// The pools of worker threads.
struct Workers {
    url: String,
    target: Arc<Target>,
    /// Connections for each; 0: they share.
    each: usize,
    pools: Mutex<Vec<Pool<AsyncPgConnection>>>,
}

thread_local! {
    /// This thread's own connections, and of which [`Database`] (by the address of its `workers`) they are.
    static OWN: RefCell<Option<(usize, Own)>> = const { RefCell::new(None) };
}

/// A worker thread's connections.
#[derive(Clone)]
struct Own {
    pool: Pool<AsyncPgConnection>,
    /// The one that its look-ups share; made at the first, and again when it was lost.
    reader: Arc<tokio::sync::Mutex<Option<Arc<Reader>>>>,
}

/// A connection that many look-ups use at once: they are sent one behind the other without waiting for answers.
pub(super) struct Reader {
    connection: AsyncPgConnection,
    lost: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn connection(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl Database {
    /// At most `size` connections to `url`. Connects when first used.
    pub fn new(url: &str, size: usize) -> Result<Self, Stop> {
        Self::for_workers(url, size, 0)
    }

    /// As [`Database::new`], for a server of so many worker threads: most of the connections are divided among them.
    /// With too few to divide they share.
    pub fn for_workers(url: &str, size: usize, workers: usize) -> Result<Self, Stop> {
        let target = Arc::new(Target::parse(url)?);
        let statements = Arc::new(AtomicU64::new(0));
        let each = size.saturating_sub(1).checked_div(workers).filter(|each| *each >= 3).unwrap_or(0);
        let shared = pool(url, &target, &statements, size - each * workers)?;
        let workers = Workers { url: url.to_owned(), target, each, pools: Mutex::default() };
        Ok(Self { shared, workers: Arc::new(workers), statements, outbox: Arc::default() })
    }

    /// Gives the calling thread connections of its own. To be called on each worker thread, in its runtime.
    pub fn adopt_thread(&self) -> Result<(), Stop> {
        if self.workers.each == 0 {
            return Ok(());
        }
        // One of them is the reader.
        let own = pool(&self.workers.url, &self.workers.target, &self.statements, self.workers.each - 1)?;
        self.workers.pools.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
        OWN.set(Some((self.identity(), Own { pool: own, reader: Arc::default() })));
        Ok(())
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.workers).addr()
    }

    fn pool(&self) -> Pool<AsyncPgConnection> {
        OWN.with_borrow(|own| match own {
            Some((identity, own)) if *identity == self.identity() => own.pool.clone(),
            _ => self.shared.clone(),
        })
    }

    /// The connection that this thread's look-ups share, if it has one.
    pub(super) async fn reader(&self) -> Result<Option<Arc<Reader>>, Broken> {
        let slot = OWN.with_borrow(|own| match own {
            Some((identity, own)) if *identity == self.identity() => Some(own.reader.clone()),
            _ => None,
        });
        let Some(slot) = slot else { return Ok(None) };
        let mut held = slot.lock().await;
        if let Some(reader) = held.as_ref()
            && !reader.lost.load(Ordering::Relaxed)
        {
            return Ok(Some(reader.clone()));
        }
        let (mut connection, lost) = self
            .workers
            .target
            .connect_watched()
            .await
            .map_err(|why| Broken::unavailable(format_args!("the database cannot be reached: {why}")))?;
        count(&mut connection, &self.statements);
        let reader = Arc::new(Reader { connection, lost });
        *held = Some(reader.clone());
        Ok(Some(reader))
    }

    /// Host and database of a URL, for people: never a role, never a password.
    #[must_use]
    pub fn place(url: &str) -> String {
        use tokio_postgres::config::Host;
        let parsed = tokio_postgres::Config::from_str(&split_tls_parameters(url).0).ok();
        let Some(config) = parsed else { return "the database of database.url".to_owned() };
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .enumerate()
            .map(|(n, host)| {
                let host = match host {
                    Host::Tcp(name) => name.clone(),
                    Host::Unix(directory) => directory.display().to_string(),
                };
                // One port may stand for all hosts.
                match config.get_ports().get(n).or(config.get_ports().first()) {
                    Some(port) => format!("{host}:{port}"),
                    None => host,
                }
            })
            .collect();
        format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
    }

    pub(super) async fn connection(&self) -> Result<Object<AsyncPgConnection>, Broken> {
        let pool = self.pool();
        match pool.get().await {
            Ok(conn) => Ok(conn),
            Err(first) => {
                // PostgreSQL may be starting again after a crash.
                tracing::warn!(error = %first, "no database connection, trying once more");
                tokio::time::sleep(Duration::from_millis(250)).await;
                pool.get().await.map_err(|error| {
                    // Why, without the pool's own words around it.
                    let why = match error {
                        PoolError::Backend(cause) => cause.to_string(),
                        other => other.to_string(),
                    };
                    Broken::unavailable(format_args!("the database cannot be reached: {why}"))
                })
            }
        }
    }

    /// Told when this process has committed notices; those of other processes are found by looking.
    #[must_use]
    pub fn outbox(&self) -> &Notify {
        &self.outbox
    }

    /// Statements sent since the start, `BEGIN` and `COMMIT` included.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Connections: (in the pools, idle, requests waiting for one).
    #[must_use]
    pub fn pool_status(&self) -> (usize, usize, usize) {
        self.pools().iter().map(Pool::status).fold((0, 0, 0), |(size, idle, waiting), status| {
            (size + status.size, idle + status.available, waiting + status.waiting)
        })
    }

    /// Closes every idle connection and refuses new work.
    pub fn close(&self) {
        self.pools().iter().for_each(Pool::close);
    }

    fn pools(&self) -> Vec<Pool<AsyncPgConnection>> {
        let own = self.workers.pools.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().chain([&self.shared]).cloned().collect()
    }
}

/// Counts the statements of a connection.
fn count(conn: &mut AsyncPgConnection, statements: &Arc<AtomicU64>) {
    let counter = statements.clone();
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { .. } = event {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}

fn pool(
    url: &str,
    target: &Arc<Target>,
    statements: &Arc<AtomicU64>,
    size: usize,
) -> Result<Pool<AsyncPgConnection>, Stop> {
    let mut manager = ManagerConfig::default();
    // No query at check-out: a closed connection is noticed without one.
    manager.recycling_method = RecyclingMethod::Fast;
    let (target, counter) = (target.clone(), statements.clone());
    manager.custom_setup = Box::new(move |_| {
        let target = target.clone();
        let counter = counter.clone();
        async move {
            let mut conn = target.connect().await?;
            count(&mut conn, &counter);
            Ok(conn)
        }
        .boxed()
    });
    Pool::builder(AsyncDieselConnectionManager::new_with_config(url, manager))
        .max_size(size)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .runtime(deadpool::Runtime::Tokio1)
        // The one used last: behind it stands the process of PostgreSQL whose memory is still in the processor's cache.
        .queue_mode(QueueMode::Lifo)
        .build()
        .map_err(Stop::new)
}

/// A database URL, understood.
pub(super) struct Target {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Understands a `postgres://` URL. `sslmode` is `disable` or one of `require`, `verify-ca`, `verify-full`, which all
    /// verify chain and name; absent, it is `disable` on a socket or loopback and `verify-full` elsewhere.
    /// `sslrootcert` names a PEM file; absent, the system's authorities count.
    pub(super) fn parse(url: &str) -> Result<Self, Stop> {
        let (bare, sslmode, root_certificate) = split_tls_parameters(url);
        let mut config = tokio_postgres::Config::from_str(&bare)
            .map_err(|error| Stop::new(format_args!("the database URL is not understood: {error}")))?;
        let local = config.get_hosts().iter().all(|host| match host {
            tokio_postgres::config::Host::Unix(_) => true,
            tokio_postgres::config::Host::Tcp(name) => {
                matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]")
            }
        });
        let encrypted = match sslmode.as_deref() {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            None => !local,
            Some(other) => {
                return Err(Stop::new(format_args!("sslmode={other} in the database URL is not supported"))
                    .mend("use sslmode=verify-full, or sslmode=disable on a network you trust"));
            }
        };
        config.ssl_mode(if encrypted {
            tokio_postgres::config::SslMode::Require
        } else {
            tokio_postgres::config::SslMode::Disable
        });
        config.application_name("mooring");
        // Plans are made once a connection and must not depend on how small the tables were then.
        let settings = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off \
                        -c from_collapse_limit=16 -c join_collapse_limit=16 -c geqo=off";
        let options = config.get_options().map_or_else(|| settings.to_owned(), |own| format!("{settings} {own}"));
        config.options(options);
        config.connect_timeout(PATIENCE);
        let tls = encrypted.then(|| tls(root_certificate.as_deref())).transpose()?;
        Ok(Self { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, ConnectionError> {
        Ok(self.connect_watched().await?.0)
    }

    /// Connects, and tells through the flag when the connection is lost.
    async fn connect_watched(&self) -> Result<(AsyncPgConnection, Arc<AtomicBool>), ConnectionError> {
        let bad = |error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ConnectionError::BadConnection(format!("{error}{cause}"))
        };
        let lost = Arc::new(AtomicBool::new(false));
        let client = if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(bad)?;
            tokio::spawn(watch(connection, lost.clone()));
            client
        } else {
            let (client, connection) = self.config.connect(tokio_postgres::NoTls).await.map_err(bad)?;
            tokio::spawn(watch(connection, lost.clone()));
            client
        };
        Ok((AsyncPgConnection::try_from(client).await?, lost))
    }

    /// The role this URL signs in as.
    pub(super) fn role(&self) -> Option<&str> {
        self.config.get_user()
    }
}

/// Drives a connection to its end.
async fn watch(connection: impl Future<Output = Result<(), tokio_postgres::Error>>, lost: Arc<AtomicBool>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a database connection was lost");
    }
    lost.store(true, Ordering::Relaxed);
}

/// Takes `sslmode` and `sslrootcert` out of the query: the driver knows fewer modes than libpq.
fn split_tls_parameters(url: &str) -> (String, Option<String>, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None, None) };
    let (mut sslmode, mut root, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => sslmode = Some(value.to_owned()),
            "sslrootcert" => {
                let decoded = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
                root = decoded;
            }
            _ => rest.push(pair),
        }
    }
    let stripped = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (stripped, sslmode, root)
}

fn tls(root_certificate: Option<&str>) -> Result<MakeRustlsConnect, Stop> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Stop::new)?;
    let config = match root_certificate {
        None => builder.with_platform_verifier().map_err(Stop::new)?.with_no_client_auth(),
        Some(file) => {
            let unreadable = |error| Stop::new(format_args!("sslrootcert {file}: {error}"));
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(Path::new(file)).map_err(unreadable)? {
                roots
                    .add(certificate.map_err(unreadable)?)
                    .map_err(|error| Stop::new(format_args!("sslrootcert {file}: {error}")))?;
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_database_never_tells_the_password() {
        assert_eq!(Database::place("postgres://u:hunter2@db.example:5433/m?sslmode=disable"), "db.example:5433/m");
        assert_eq!(Database::place("postgres://u:hunter2@/m?host=/run/pg&password=hunter2"), "/run/pg/m");
        assert_eq!(Database::place("postgres://u:hunter2@a,b:5433/m"), "a:5432,b:5433/m");
        assert!(!Database::place("postgres://u:hunt#er2@b/m").contains("er2"));
        assert!(!Database::place("postgres://u:hunt/er2@b/m").contains("er2"));
    }

    #[test]
    fn a_remote_database_is_verified_unless_told_otherwise() {
        assert!(Target::parse("postgres://u:p@db.example/m").unwrap().tls.is_some());
        assert!(Target::parse("postgres://u:p@db.example/m?sslmode=disable").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@localhost/m").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@localhost/m?sslmode=verify-full").unwrap().tls.is_some());
        assert!(Target::parse("postgres://u@/m?host=%2Ftmp%2Fx").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@db.example/m?sslmode=prefer").is_err());
    }
}
