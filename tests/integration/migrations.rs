//! The schema, as a server finds it that may change it, and one that may not.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::support::{
    cluster::{self, TestDatabase},
    process::Installation,
};

#[tokio::test]
async fn the_servers_own_role_is_enough_where_nothing_is_to_be_migrated() {
    let database = TestDatabase::create().await;
    let installation = Installation::on(&database.server_url);
    let server = installation.serve_logging("info");
    assert!(server.ask().send().await.unwrap().status().is_success());
    assert_eq!(server.stop(), Some(0));
    let log = installation.log();
    assert!(!log.contains("__diesel_schema_migrations"), "{log}");
    assert!(installation.run(&["migrate"]).done().contains("has the schema of this program"));

    // As after an update: the schema has to be changed, and this role may not.
    let newest =
        "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)";
    cluster::query(&database.owner_url, newest).await.unwrap();
    for command in ["serve", "migrate"] {
        let refused = installation.run(&[command]);
        let said = refused.failed(1);
        for word in ["mooring migrate", "database.migrate_url", "may not change"] {
            assert!(said.contains(word), "{command}: {said}");
        }
    }
    database.drop_now().await;
}

/// An update whose migration was run with the owner's URL alone, which does not say who the server is.
#[tokio::test]
async fn the_owners_migration_gives_the_server_what_is_new() {
    let database = TestDatabase::create().await;
    let owner = Installation::on(&database.owner_url);
    let server = Installation::on(&database.server_url);
    let url = url::Url::parse(&database.server_url).unwrap();
    let role = url.username();
    // As a release that brought a table and a function left it; or somebody who gave too much.
    for taken in [
        format!("REVOKE ALL ON notices FROM {role}"),
        format!("REVOKE UPDATE ON users FROM {role}"),
        format!("REVOKE EXECUTE ON FUNCTION maintain_a_partition FROM {role}"),
        format!("GRANT DELETE ON audit_events TO {role}"),
    ] {
        cluster::query(&database.owner_url, &taken).await.unwrap();
        let refused = server.run(&["serve"]);
        let said = refused.failed(1);
        for word in ["lacks rights on", "mooring migrate", "database.migrate_url"] {
            assert!(said.contains(word), "{taken}: {said}");
        }
        let migrated = owner.run(&["migrate"]);
        assert!(migrated.done().contains("was given what a server needs"), "{taken}: {migrated:?}");
        assert!(owner.run(&["migrate"]).done().starts_with("the database has the schema"), "once is enough");
        assert!(server.run(&["migrate"]).done().contains("has the schema of this program"), "{taken}");
    }
    let running = server.serve();
    assert!(running.ask().send().await.unwrap().status().is_success());
    assert_eq!(running.stop(), Some(0));
    database.drop_now().await;
}

/// What a dump brings has the transaction numbers of another cluster, which may be far ahead of this one's.
#[tokio::test]
async fn a_restored_audit_log_is_exported_whole() {
    let database = TestDatabase::create().await;
    let installation = Installation::on(&database.owner_url);
    installation.run_with(&["user", "add", "bob", "--password-stdin"], "a password of bob\n").done();
    installation.run(&["user", "disable", "bob"]).done();
    let export = |arguments: &[&str]| installation.run(&[&["audit", "export"], arguments].concat()).done().to_owned();
    let (all, of_bob) = (export(&[]), export(&["--user", "bob"]));
    assert!(of_bob.lines().count() > 1, "{of_bob}");
    cluster::query(
        &database.owner_url,
        "ALTER TABLE audit_events DISABLE TRIGGER USER; \
         UPDATE audit_events SET xid = (xid::text::bigint + 1000000000)::text::xid8",
    )
    .await
    .unwrap();
    assert_eq!(export(&[]), all);
    assert_eq!(export(&["--user", "bob"]), of_bob);
    database.drop_now().await;
}

/// Servers of the release before run while the schema is changed: they wait for nothing long, and may use what is new at once.
#[tokio::test]
async fn a_migration_that_waits_holds_up_no_running_server() {
    let database = TestDatabase::create().await;
    let undo = [
        include_str!("../../migrations/2026-12-01-000900_withdrawn_keys/down.sql"),
        include_str!("../../migrations/2026-12-01-000802_counts/down.sql"),
        include_str!("../../migrations/2026-12-01-000801_removal/down.sql"),
        "DELETE FROM __diesel_schema_migrations WHERE version IN ('20261201000801', '20261201000802', '20261201000900')",
    ];
    for statement in undo {
        cluster::query(&database.owner_url, statement).await.unwrap();
    }
    // As a dump does.
    let (reader, connection) = tokio_postgres::connect(&database.owner_url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    reader.batch_execute("BEGIN; LOCK TABLE signing_keys IN ACCESS SHARE MODE").await.unwrap();
    let owner = Installation::on(&database.owner_url);
    let migrating = tokio::task::spawn_blocking(move || owner.run(&["migrate"]));
    let ask = async |statement: &str| {
        let begun = Instant::now();
        let answer = cluster::query(&database.server_url, statement).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{statement}: {:?}", begun.elapsed());
        answer.is_ok()
    };
    let begun = Instant::now();
    while !ask("SELECT count(*) FROM counts; SELECT count(*) FROM audit_removals").await {
        assert!(begun.elapsed() < Duration::from_secs(20), "the server's role has no right to what is new");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..50 {
        assert!(ask("SELECT count(*) FROM signing_keys").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(reader);
    let _ = connection.await;
    assert!(migrating.await.unwrap().done().contains("3 migrations applied"));
    let indexes = "SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE NOT indisvalid";
    let invalid = cluster::query(&database.owner_url, indexes).await.unwrap();
    assert!(format!("{invalid:?}").contains("None"), "{invalid:?}");
    database.drop_now().await;
}
