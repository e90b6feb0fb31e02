//! A given PostgreSQL that speaks TLS: the server meets it encrypted and verified, or not at all.
//!
//! The PostgreSQL is a cluster as the embedded one, which is taught TLS with the certificate of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mooring::{
    db::embedded::{DATABASE, Embedded, Role, Settings},
    jose::random_bytes,
};
use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;
use url::Url;

use crate::support::{
    cluster::{self, hex},
    process::Installation,
    server::certificate,
};

/// A cluster on a port of the loopback.
struct Cluster {
    // Before its directory: what is dropped first is stopped before that goes.
    embedded: Embedded,
    _directory: Directory,
    /// Of a role that may change settings.
    superuser: String,
    port: u16,
}

/// A directory that goes again, and wherever its cluster is.
struct Directory(PathBuf);

impl Directory {
    fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join("postgres.json")).unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(elsewhere) = self.state()["location"].as_str() {
            let _ = fs::remove_dir_all(elsewhere);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Cluster {
    /// In a directory whose name is too long for a socket: then it listens on a port.
    async fn start() -> Option<Self> {
        let long = format!("database-over-tls-{}", hex(&random_bytes::<50>()));
        let directory = Directory(Path::new(env!("CARGO_TARGET_TMPDIR")).join(long));
        let settings = Settings { durable: false, ..Settings::default() };
        let started = Embedded::start_with(&directory.0, Role::Command, settings).await;
        let embedded = started.unwrap_or_else(|stop| panic!("{stop}"));
        let mut url = Url::parse(&embedded.owner_url("postgres")).unwrap();
        let Some(port) = url.port() else {
            // Root's tests in a directory that PostgreSQL may not enter: the cluster is elsewhere, under a short name.
            embedded.stop().await.unwrap_or_else(|stop| panic!("{stop}"));
            return None;
        };
        url.set_username("postgres").unwrap();
        url.set_password(directory.state()["superuser_password"].as_str()).unwrap();
        Some(Self { embedded, superuser: url.into(), port, _directory: directory })
    }

    async fn query(&self, statements: &str) -> Vec<SimpleQueryMessage> {
        cluster::query(&self.superuser, statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"))
    }

    /// Teaches it TLS. The key is written by PostgreSQL itself, for it must be its own and nobody else's to read.
    async fn speak_tls(&self) {
        for name in ["localhost.pem", "localhost.key"] {
            let pem = fs::read_to_string(certificate(name)).unwrap();
            let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", pem.trim());
            self.query(&format!("COPY ({lines}) TO PROGRAM 'umask 077 && cat > {name}'")).await;
        }
        // ALTER SYSTEM goes alone, not with others in one transaction.
        for setting in ["ssl_cert_file = 'localhost.pem'", "ssl_key_file = 'localhost.key'", "ssl = on"] {
            self.query(&format!("ALTER SYSTEM SET {setting}")).await;
        }
        self.query("SELECT pg_reload_conf()").await;
    }

    /// The owner's URL of the product's database.
    fn url(&self, host: &str, parameters: &str) -> String {
        let mut url = Url::parse(&self.embedded.owner_url(DATABASE)).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        format!("{url}?{parameters}")
    }

    /// How many of the product's connections are encrypted, and how many there are.
    async fn connections(&self) -> (String, String) {
        let counts = "SELECT count(*) FILTER (WHERE ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                      WHERE application_name = 'mooring'";
        let answer = self.query(counts).await;
        let SimpleQueryMessage::Row(row) = answer.iter().find(|it| matches!(it, SimpleQueryMessage::Row(_))).unwrap()
        else {
            unreachable!("found as one")
        };
        (row.get(0).unwrap().to_owned(), row.get(1).unwrap().to_owned())
    }

    async fn stop(self) {
        self.embedded.stop().await.unwrap_or_else(|stop| panic!("{stop}"));
    }
}

#[tokio::test]
async fn it_is_met_encrypted_and_verified_or_not_at_all() {
    let Some(postgres) = Cluster::start().await else {
        println!("skipped: PostgreSQL listens on no port when root's tests are where others may not enter");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "with CI=true no test may be skipped");
        return;
    };
    let full = format!("sslmode=verify-full&sslrootcert={}", certificate("ca.pem"));
    let installation = Installation::on(&postgres.url("localhost", &full));

    // One that speaks no TLS is not spoken to in the clear instead.
    let said = installation.run(&["migrate"]);
    assert!(said.failed(1).to_lowercase().contains("tls"), "{said:?}");

    postgres.speak_tls().await;
    installation.run(&["migrate"]).done();
    let server = installation.serve();
    let token = server.ask().send().await.unwrap().json::<Value>().await.unwrap();
    assert!(server.is_active(token["access_token"].as_str().unwrap()).await);
    let (encrypted, all) = postgres.connections().await;
    assert!(encrypted == all && all != "0", "{encrypted} of {all} connections are encrypted");
    assert_eq!(server.stop(), Some(0));

    // Another authority, another name, no authority at all: refused, and it is said why.
    let mut installation = installation;
    let other = format!("sslmode=verify-full&sslrootcert={}", certificate("other-ca.pem"));
    for (host, parameters, why) in [
        ("localhost", other.as_str(), "certificate"),
        ("127.0.0.1", full.as_str(), "certificate"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("localhost", "sslmode=sometimes", "sslmode"),
    ] {
        installation = installation.at(&postgres.url(host, parameters));
        for command in ["serve", "migrate"] {
            let ran = installation.run(&[command]);
            let said = ran.failed(1);
            assert!(said.contains(why), "{host} {parameters} {command}: {said}");
            assert!(!said.contains(&password(&postgres)), "the password is told: {said}");
        }
        let beside = installation.run(&["session", "list"]);
        assert_eq!(beside.code, Some(1), "{beside:?}");
        assert!(beside.stderr.contains(why) && !beside.stderr.contains(&password(&postgres)), "{beside:?}");
    }
    postgres.stop().await;
}

fn password(postgres: &Cluster) -> String {
    Url::parse(&postgres.url("localhost", "")).unwrap().password().unwrap().to_owned()
}
