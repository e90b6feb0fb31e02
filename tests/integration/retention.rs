//! What is kept of whom and for how long: `src/audit/retention.toml` speaks of every column there is.

use std::collections::BTreeSet;

use crate::support::Server;

const RETENTION: &str = include_str!("../../src/audit/retention.toml");

#[tokio::test]
async fn every_column_has_a_class_and_a_time_to_be_kept() {
    let written: toml::Table = RETENTION.parse().unwrap();
    let mut described = BTreeSet::new();
    for (table, entry) in &written {
        for key in ["kept", "why"] {
            assert!(entry[key].as_str().is_some_and(|text| !text.is_empty()), "{table}.{key}");
        }
        for (column, class) in entry["columns"].as_table().unwrap() {
            let class = class.as_str().unwrap();
            assert!(["secret", "personal", "operational"].contains(&class), "{table}.{column}: {class}");
            described.insert(format!("{table}.{column}"));
        }
    }
    let server = Server::usual().await;
    // Partitions are their table's; the migrations' own table is the library's.
    let columns = "SELECT string_agg(c.table_name || '.' || c.column_name, ' ') FROM information_schema.columns c \
                   JOIN pg_class r ON r.oid = format('%I.%I', c.table_schema, c.table_name)::regclass \
                   WHERE c.table_schema = 'public' AND NOT r.relispartition AND c.table_name <> '__diesel_schema_migrations'";
    let there: BTreeSet<String> = server.value(columns).await.split(' ').map(str::to_owned).collect();
    assert_eq!(described, there);
}
