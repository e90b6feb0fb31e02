//! The cluster as its users meet it: beginnings, company, kills. Real processes, real PostgreSQL.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls};

use super::*;

/// A data directory of one test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mooring-embedded-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    async fn start(&self, role: Role) -> Embedded {
        Embedded::start_with(&self.0, role, quick().await).await.unwrap()
    }

    fn cluster(&self) -> PathBuf {
        self.0.join("postgres/cluster")
    }

    /// The postmaster's pid, if it says so.
    fn postmaster(&self) -> Option<u32> {
        fs::read_to_string(self.cluster().join("postmaster.pid")).ok()?.lines().next()?.parse().ok()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a disk would lose at a power failure does not matter here; a killed process loses nothing by it.
async fn quick() -> Settings {
    Settings { durable: false, binaries: source().await, ..Settings::default() }
}

/// The PostgreSQL of these tests. Where it has to be fetched, they fetch it once, and not each for its data directory.
async fn source() -> Source {
    static SOURCE: tokio::sync::OnceCell<Source> = tokio::sync::OnceCell::const_new();
    let found = SOURCE.get_or_init(|| async {
        let exe = std::env::current_exe().unwrap();
        let target = exe.ancestors().nth(3).unwrap(); // of target/debug/deps/mooring-…
        let embedded = Embedded::for_tests(&target.join("tmp/postgres")).await.unwrap();
        let fetched = fetch::present(&embedded.postmaster.place).into_iter().next();
        embedded.stop().await.unwrap();
        fetched.map_or_else(Source::from_env, Source::At)
    });
    found.await.clone()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn asked(url: &str, question: &str) -> String {
    connect(url).await.query_one(question, &[]).await.unwrap().get(0)
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Kills the postmaster, and waits until the kernel has done so.
async fn kill_postgres(embedded: &Embedded, directory: &Directory) {
    kill(directory.postmaster().unwrap());
    while !embedded.postmaster.is_gone() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `another_process` in one, and waits until it has its cluster.
fn another_process(data_dir: &Path, role: &str) -> Child {
    let signal = data_dir.join(format!("ready-{role}"));
    let _ = fs::remove_file(&signal);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "db::embedded::tests::as_another_process", "--include-ignored"])
        .env("MOORING_TEST_DATA_DIR", data_dir)
        .env("MOORING_TEST_ROLE", role)
        .spawn()
        .unwrap();
    let since = Instant::now();
    while !signal.exists() {
        assert!(since.elapsed() < Duration::from_mins(1), "the other process did not get ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Not a test: what `another_process` runs. It uses the cluster until it is killed, or told to leave.
#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn as_another_process() {
    let Some(data_dir) = std::env::var_os("MOORING_TEST_DATA_DIR").map(PathBuf::from) else { return };
    let role = std::env::var("MOORING_TEST_ROLE").unwrap();
    let as_whom = if role == "server" { Role::Server } else { Role::Command };
    let embedded = Embedded::start_with(&data_dir, as_whom, quick().await).await.unwrap();
    fs::write(data_dir.join(format!("ready-{role}")), "").unwrap();
    let since = Instant::now();
    while !data_dir.join(format!("leave-{role}")).exists() && since.elapsed() < Duration::from_mins(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_new_data_directory_gets_a_cluster_with_two_roles() {
    let directory = Directory::new();
    let embedded = directory.start(Role::Server).await;
    let owner = embedded.owner_url(DATABASE);
    let server = embedded.server_url(DATABASE);
    let of_role =
        "SELECT concat_ws(' ', current_user, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls)
                   FROM pg_roles WHERE rolname = current_user";
    assert_eq!(asked(&owner, of_role).await, "mooring_owner f t f f f");
    assert_eq!(asked(&server, of_role).await, "mooring_server f f f f f");
    let of_database = "SELECT concat_ws(' ', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate,
                       current_setting('data_checksums')) FROM pg_database WHERE datname = current_database()";
    assert_eq!(asked(&owner, of_database).await, "mooring_owner UTF8 C on");

    let owner = connect(&owner).await;
    owner.batch_execute("CREATE TABLE t ()").await.unwrap();
    owner.batch_execute("CREATE DATABASE clone").await.unwrap();
    let server = connect(&server).await;
    assert!(server.batch_execute("SELECT FROM t").await.is_err(), "the server's role has no right by itself");
    assert!(server.batch_execute("CREATE TABLE u ()").await.is_err());
    assert!(server.batch_execute("CREATE TEMPORARY TABLE u ()").await.is_err());
    connect(&embedded.owner_url("clone")).await;

    let wrong = embedded.owner_url(DATABASE).replacen("mooring_owner:", "mooring_owner:0", 1);
    assert!(tokio_postgres::connect(&wrong, NoTls).await.is_err(), "the password counts");
    for secret in ["postgres.json", "mooring.lock"] {
        assert_eq!(fs::metadata(directory.0.join(secret)).unwrap().mode() & 0o777, 0o600, "{secret}");
    }
    embedded.stop().await.unwrap();
    assert_eq!(directory.postmaster(), None);
}

#[tokio::test]
async fn the_product_is_durable_and_listens_on_no_network() {
    let directory = Directory::new();
    let product = Settings { binaries: source().await, ..Settings::default() };
    let embedded = Embedded::start_with(&directory.0, Role::Command, product).await.unwrap();
    let settings = "SELECT string_agg(concat(name, '=', setting), ' ' ORDER BY name) FROM pg_settings WHERE name IN
        ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'password_encryption')";
    assert_eq!(
        asked(&embedded.owner_url(DATABASE), settings).await,
        "fsync=on full_page_writes=on listen_addresses= password_encryption=scram-sha-256 synchronous_commit=on"
    );
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_written_is_there_after_stop_and_start() {
    let directory = Directory::new();
    let embedded = directory.start(Role::Server).await;
    let url = embedded.owner_url(DATABASE);
    connect(&url).await.batch_execute("CREATE TABLE t AS SELECT 'kept' AS word").await.unwrap();
    embedded.stop().await.unwrap();

    let embedded = directory.start(Role::Command).await;
    assert_eq!(embedded.owner_url(DATABASE), url);
    assert_eq!(asked(&url, "SELECT word FROM t").await, "kept");
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_all_it_acknowledged() {
    let directory = Directory::new();
    let embedded = directory.start(Role::Server).await;
    let url = embedded.owner_url(DATABASE);
    let client = connect(&url).await;
    client.batch_execute("CREATE TABLE t AS SELECT 'kept' AS word").await.unwrap();
    let before = directory.postmaster().unwrap();
    kill_postgres(&embedded, &directory).await;
    embedded.ensure_running().await.unwrap();
    assert_ne!(directory.postmaster().unwrap(), before);
    assert_eq!(asked(&url, "SELECT word FROM t").await, "kept");
    embedded.ensure_running().await.unwrap();
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_of_somebody_else_does_not_block_the_start() {
    let directory = Directory::new();
    let embedded = directory.start(Role::Server).await;
    let url = embedded.owner_url(DATABASE);
    kill_postgres(&embedded, &directory).await;
    // As after a reboot: the pid is alive again, but it is this test's.
    let file = directory.cluster().join("postmaster.pid");
    let stale = fs::read_to_string(&file).unwrap();
    let (_, rest) = stale.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", std::process::id())).unwrap();
    embedded.ensure_running().await.unwrap();
    assert_eq!(asked(&url, "SELECT 'here'").await, "here");
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_server_is_refused_and_told_by_whom() {
    let directory = Directory::new();
    let mut other = another_process(&make(&directory), "server");
    let stop = Embedded::start(&directory.0, Role::Server).await.unwrap_err().to_string();
    assert!(stop.contains(&format!("(pid {})", other.id())), "{stop}");
    assert!(stop.contains(directory.0.to_str().unwrap()), "{stop}");
    fs::write(directory.0.join("leave-server"), "").unwrap();
    assert!(other.wait().unwrap().success());
    assert_eq!(directory.postmaster(), None);
    directory.start(Role::Server).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_leaves_a_cluster_that_the_next_one_joins() {
    let directory = Directory::new();
    let mut other = another_process(&make(&directory), "server");
    let postmaster = directory.postmaster().unwrap();
    kill(other.id());
    other.wait().unwrap();
    let embedded = directory.start(Role::Server).await;
    assert_eq!(directory.postmaster(), Some(postmaster), "joined, not started again");
    assert_eq!(asked(&embedded.server_url(DATABASE), "SELECT 'here'").await, "here");
    embedded.stop().await.unwrap();
    assert_eq!(directory.postmaster(), None);
}

#[tokio::test]
async fn whoever_leaves_last_stops_the_cluster() {
    let directory = Directory::new();
    let command = directory.start(Role::Command).await;
    let mut server = another_process(&directory.0, "server");
    let url = command.owner_url(DATABASE);
    command.stop().await.unwrap();
    assert_eq!(asked(&url, "SELECT 'still here'").await, "still here", "the server uses it");

    let command = directory.start(Role::Command).await;
    fs::write(directory.0.join("leave-server"), "").unwrap();
    assert!(server.wait().unwrap().success());
    assert_eq!(asked(&url, "SELECT 'still here'").await, "still here", "the command uses it");
    drop(command);
    assert_eq!(directory.postmaster(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_share_one_cluster() {
    let directory = Directory::new();
    let users = (0..8).map(|_| async {
        for _ in 0..3 {
            let embedded = directory.start(Role::Command).await;
            assert_eq!(asked(&embedded.owner_url(DATABASE), "SELECT 'here'").await, "here");
            embedded.stop().await.unwrap();
        }
    });
    futures_util::future::join_all(users).await;
    assert_eq!(directory.postmaster(), None);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_the_loopback() {
    let outer = Directory::new();
    let directory = Directory(outer.0.join("long".repeat(30)));
    let embedded = directory.start(Role::Server).await;
    let url = embedded.owner_url(DATABASE);
    assert!(url.contains("@127.0.0.1:"), "{}", url.rsplit('@').next().unwrap());
    assert_eq!(asked(&url, "SELECT 'here'").await, "here");
    kill_postgres(&embedded, &directory).await;
    embedded.ensure_running().await.unwrap();
    let command = directory.start(Role::Command).await;
    assert_eq!(command.owner_url(DATABASE), url);
    assert_eq!(asked(&url, "SELECT 'here'").await, "here");
    command.stop().await.unwrap();
    embedded.stop().await.unwrap();
}

/// `/root` is 0700, and that is where root's data directories are likely to be.
#[tokio::test]
async fn a_closed_parent_is_no_obstacle() {
    let outer = Directory::new();
    fs::create_dir(&outer.0).unwrap();
    fs::set_permissions(&outer.0, fs::Permissions::from_mode(0o700)).unwrap();
    let directory = Directory(outer.0.join("data"));
    let embedded = directory.start(Role::Server).await;
    assert_eq!(asked(&embedded.server_url(DATABASE), "SELECT 'here'").await, "here");
    let root = embedded.postmaster.place.root.clone();
    let owner = fs::metadata(root.join("cluster")).unwrap().uid();
    if is_root() {
        assert_eq!(root.parent(), Some(Path::new("/var/lib/mooring")));
        assert!(fs::read_to_string(directory.0.join("postgres.json")).unwrap().contains(root.to_str().unwrap()));
        assert_ne!(owner, 0);
    } else {
        assert_eq!(root, directory.0.canonicalize().unwrap().join("postgres"));
        assert_eq!(owner, rustix::process::geteuid().as_raw());
    }
    embedded.stop().await.unwrap();
    directory.start(Role::Command).await.stop().await.unwrap();

    fs::remove_dir_all(root.join("cluster")).unwrap();
    let stop = Embedded::start(&directory.0, Role::Command).await.unwrap_err().to_string();
    assert!(stop.contains("is gone"), "a loss is not a beginning: {stop}");
    fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn another_major_version_is_never_used_on_a_cluster() {
    let directory = Directory::new();
    let embedded = directory.start(Role::Command).await;
    let url = embedded.owner_url(DATABASE);
    let version: u32 = asked(&url, "SELECT current_setting('server_version_num')").await.parse().unwrap();
    embedded.stop().await.unwrap();
    let (major, other) = (version / 10000, version / 10000 + 1);
    let bin = directory.0.join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["postgres", "initdb"] {
        fs::write(bin.join(program), format!("#!/bin/sh\necho 'postgres (PostgreSQL) {other}.1'\n")).unwrap();
        fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let settings = Settings { binaries: Source::At(bin), ..quick().await };
    let stop = Embedded::start_with(&directory.0, Role::Command, settings).await.unwrap_err().to_string();
    assert!(stop.contains(&format!("made by PostgreSQL {major}")) && stop.contains(&format!("is {other}.1")), "{stop}");
    directory.start(Role::Command).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_is_made_again() {
    let directory = Directory::new();
    directory.start(Role::Command).await.stop().await.unwrap();
    // As if killed between initdb and the roles, and once before that within initdb.
    let file = directory.0.join("postgres.json");
    let state = fs::read_to_string(&file).unwrap().replace("\"complete\": true", "\"complete\": false");
    fs::write(&file, state).unwrap();
    fs::create_dir_all(directory.0.join("postgres/new/cluster/base")).unwrap();
    let embedded = directory.start(Role::Command).await;
    assert_eq!(asked(&embedded.server_url(DATABASE), "SELECT 'here'").await, "here");
    embedded.stop().await.unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("\"complete\": true"));
}

#[tokio::test]
async fn postgres_that_cannot_start_says_why() {
    let directory = Directory::new();
    directory.start(Role::Command).await.stop().await.unwrap();
    fs::write(directory.cluster().join("postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let stop = Embedded::start_with(&directory.0, Role::Command, quick().await).await.unwrap_err().to_string();
    assert!(stop.contains("no_such_setting") || stop.contains("configuration file"), "{stop}");
    assert!(stop.contains("postgres.log"), "{stop}");
}

#[tokio::test]
#[ignore = "fetches 15 MB; the other tests do so too where no PostgreSQL is installed"]
async fn without_an_installed_postgres_one_is_fetched() {
    let directory = Directory::new();
    let settings = Settings { binaries: Source::Fetch, ..quick().await };
    let embedded = Embedded::start_with(&directory.0, Role::Server, settings.clone()).await.unwrap();
    let version = asked(&embedded.server_url(DATABASE), "SELECT current_setting('server_version_num')").await;
    assert!(version.parse::<u32>().unwrap() >= 180_000, "{version}");
    embedded.stop().await.unwrap();
    let since = Instant::now();
    Embedded::start_with(&directory.0, Role::Server, settings).await.unwrap().stop().await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "fetched once");
}

/// An empty data directory that PostgreSQL may enter, for what a test puts there before the start.
fn make(directory: &Directory) -> PathBuf {
    fs::create_dir_all(&directory.0).unwrap();
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o711)).unwrap();
    directory.0.clone()
}
