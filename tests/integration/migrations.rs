//! The schema, as a server finds it that may change it, and one that may not.

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
