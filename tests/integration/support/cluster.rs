//! The database of each test: a clone of a migrated template, in one cluster that all test processes share.
//!
//! The cluster is the embedded one, or that of `TEST_DATABASE_URL`, whose role must be allowed to create databases and
//! roles. Databases carry the number of their run, and the run holds an advisory lock: what a killed run left behind is
//! told by its lock being free, and dropped by the next.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use mooring::{
    clock::Clock,
    db::{Database, Trace, embedded::Embedded, migrations, partitions},
    failure::Broken,
    jose::{MasterSecret, Purpose, random_bytes, sha256},
    tokens,
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use url::Url;

/// Of every server under test, so that the template can hold sealed keys.
pub const MASTER: &str = "the master secret of the integration tests";
const SERVER_ROLE: &str = "mooring_test_server";
/// One test binary at a time arranges templates and clears away.
const TURN: &str = "SELECT pg_advisory_lock(hashtext('mooring_test_turn'))";
const TURN_OVER: &str = "SELECT pg_advisory_unlock(hashtext('mooring_test_turn'))";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    place: Place,
    run: u32,
    template: String,
}

enum Place {
    Embedded(Embedded),
    Given(Url),
}

impl Place {
    async fn find() -> Self {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            return Self::Given(Url::parse(&url).expect("TEST_DATABASE_URL is a URL"));
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
        let embedded = Embedded::for_tests(&directory).await.unwrap_or_else(|stop| panic!("{stop}"));
        stop_after_this_process(&directory, &embedded);
        Self::Embedded(embedded)
    }

    fn owner_url(&self, database: &str) -> String {
        match self {
            Self::Embedded(embedded) => embedded.owner_url(database),
            Self::Given(url) => at(url, database),
        }
    }

    fn server_url(&self, database: &str) -> String {
        match self {
            Self::Embedded(embedded) => embedded.server_url(database),
            Self::Given(url) => {
                let mut url = url.clone();
                url.set_username(SERVER_ROLE).expect("a URL with a host");
                url.set_password(Some(SERVER_ROLE)).expect("a URL with a host");
                at(&url, database)
            }
        }
    }

    /// Where databases are made and dropped.
    fn meeting_point(&self) -> String {
        match self {
            Self::Embedded(embedded) => embedded.owner_url("postgres"),
            Self::Given(url) => url.to_string(),
        }
    }
}

/// Stops the cluster once this process has ended, however it ends, unless another one still uses it. The test harness runs
/// nothing at its end, so a shell waits for it: its standard input closes with this process. `mooring doctor` joins the
/// cluster as its last user, and stops it by leaving. A cluster that lies outside the build's directory (root's, where
/// PostgreSQL's account may not enter that) is removed.
fn stop_after_this_process(directory: &Path, embedded: &Embedded) {
    const SCRIPT: &str =
        "cat; \"$0\" doctor; [ -z \"$1\" ] || [ -e \"$1/cluster/postmaster.pid\" ] || rm -rf \"$1\" \"$2\"";
    let outside = Some(embedded.directory()).filter(|cluster| !cluster.starts_with(directory));
    let waiting = Command::new("sh")
        .args(["-c", SCRIPT, env!("CARGO_BIN_EXE_mooring")])
        .arg(outside.unwrap_or(Path::new("")))
        .arg(directory)
        .env("MOORING_DATA_DIR", directory)
        .env_remove("DATABASE_URL")
        .env_remove("MOORING_CONFIG")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    // The pipe stays open for as long as this process lives.
    std::mem::forget(waiting.expect("a shell that waits for the end of the tests"));
}

fn at(url: &Url, database: &str) -> String {
    let mut url = url.clone();
    url.set_path(database);
    url.into()
}

impl Cluster {
    /// On a thread of its own, whose runtime keeps what the cluster needs for as long as the process lives.
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (cluster, keeper) = Self::prepare().await;
                tell.send(cluster).expect("somebody waits for the cluster");
                std::future::pending::<()>().await;
                drop(keeper);
            });
        });
        told.recv().expect("the cluster of the tests starts; the panic above says why it did not")
    }

    async fn prepare() -> (Self, Client) {
        let place = Place::find().await;
        let keeper = connect(&place.meeting_point()).await;
        keeper.batch_execute(TURN).await.expect("a turn");
        if matches!(place, Place::Given(_)) {
            let role = format!(
                "DO $$ BEGIN CREATE ROLE {SERVER_ROLE} LOGIN PASSWORD '{SERVER_ROLE}'; \
                 EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            );
            keeper.batch_execute(&role).await.expect("the role of TEST_DATABASE_URL may create roles");
        }
        let template = template_name();
        clear_away(&keeper, &template).await;
        make_template(&place, &keeper, &template).await;
        let run = u32::from_be_bytes(random_bytes::<4>());
        for lock in [
            format!("SELECT pg_advisory_lock(hashtext('{}'))", run_name(run)),
            format!("SELECT pg_advisory_lock_shared(hashtext('{template}'))"),
            TURN_OVER.to_owned(),
        ] {
            keeper.batch_execute(&lock).await.expect("a lock");
        }
        (Self { place, run, template }, keeper)
    }
}

fn run_name(run: u32) -> String {
    format!("mooring_test_{run:08x}")
}

/// Another schema, or another version of what the template holds, gets another name.
fn template_name() -> String {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> = fs::read_dir(migrations)
        .expect("the migrations")
        .map(|entry| entry.expect("a migration").path().join("up.sql"))
        .collect();
    files.sort();
    let texts: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("a migration")).collect();
    let mut parts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    parts.push(MASTER.as_bytes());
    // The partitions of the template are those of its hour and of three more.
    let hour = Clock::default().now().format("%Y-%m-%dT%H").to_string();
    parts.push(hour.as_bytes());
    let digest = sha256(&parts);
    format!("mooring_template_{}", hex(&digest[..6]))
}

pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// Drops what killed runs and earlier schemas left behind.
async fn clear_away(keeper: &Client, template: &str) {
    let left = keeper
        .query(
            "SELECT datname::text, coalesce(substring(datname FROM '^mooring_test_[0-9a-f]{8}'), datname)::text \
             FROM pg_database WHERE datname ~ '^mooring_(test|template|building)_' AND datname <> $1",
            &[&template],
        )
        .await
        .expect("the databases");
    for row in left {
        let (database, lock): (String, String) = (row.get(0), row.get(1));
        let free: bool =
            keeper.query_one("SELECT pg_try_advisory_lock(hashtext($1))", &[&lock]).await.expect("a lock").get(0);
        if free {
            drop_database(keeper, &database).await;
            keeper.query_one("SELECT pg_advisory_unlock(hashtext($1))", &[&lock]).await.expect("a lock");
        }
    }
}

async fn make_template(place: &Place, keeper: &Client, template: &str) {
    let there =
        keeper.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&template]).await.expect("the databases");
    if !there.is_empty() {
        return;
    }
    let building = template.replace("_template_", "_building_");
    keeper.batch_execute(&format!("CREATE DATABASE {building}")).await.expect("a database");
    let (owner, server) = (place.owner_url(&building), place.server_url(&building));
    migrations::migrate(&owner, &server).await.unwrap_or_else(|stop| panic!("{stop}"));
    // Servers under test move their clocks, and PostgreSQL's stays.
    query(&owner, "UPDATE partitioned_tables SET ahead = '10 years'").await.expect("the owner may");
    let database = Database::new(&server, 1).unwrap_or_else(|stop| panic!("{stop}"));
    let seal = MasterSecret::from_bytes(MASTER.as_bytes()).expect("long enough").derive(Purpose::SealSigningKeys);
    partitions::maintain(&database, Clock::default().now()).await.expect("partitions");
    database
        .work(Clock::default().now(), &Trace::default(), async |tx| {
            tokens::generate_missing(tx, &seal).await?;
            Ok::<_, Broken>(())
        })
        .await
        .expect("keys");
    database.close();
    drop(database);
    // The connection's task closes it a moment later, and a template must have no users.
    for attempt in 0.. {
        match keeper.batch_execute(&format!("ALTER DATABASE {building} RENAME TO {template}")).await {
            Ok(()) => return,
            Err(error) if attempt == 100 => panic!("the template is in use: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn drop_database(client: &Client, name: &str) {
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    // A connection that has just been closed is still there for a moment.
    for _ in 0..50 {
        if client.batch_execute(&statement).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("{name} is left for the next run, which clears it away");
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection to PostgreSQL");
    tokio::spawn(async move {
        // Dropping the database cuts it.
        let _ = connection.await;
    });
    client
}

/// Runs statements outside the product, on a connection that is gone when this returns: a database with users cannot be
/// dropped.
pub async fn query(url: &str, statements: &str) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection to PostgreSQL");
    let connection = tokio::spawn(connection);
    let answer = client.simple_query(statements).await;
    drop(client);
    let _ = connection.await;
    answer
}

/// A database of one test. Give it back with [`TestDatabase::drop_now`].
pub struct TestDatabase {
    name: String,
    pub owner_url: String,
    pub server_url: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let name = format!("{}_{}", run_name(CLUSTER.run), DATABASES.fetch_add(1, Ordering::Relaxed));
        let client = connect(&CLUSTER.place.meeting_point()).await;
        let template = &CLUSTER.template;
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("a clone");
        Self { owner_url: CLUSTER.place.owner_url(&name), server_url: CLUSTER.place.server_url(&name), name }
    }

    pub async fn drop_now(self) {
        // The owner cannot force another role's connections off, but each role its own.
        let own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND usename = current_user AND pid <> pg_backend_pid()";
        let _ = query(&self.server_url, own).await;
        let client = connect(&CLUSTER.place.meeting_point()).await;
        drop_database(&client, &self.name).await;
    }
}
