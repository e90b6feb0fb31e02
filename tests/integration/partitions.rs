//! Partitions are made ahead, whatever holds up the dropping of old ones.

use chrono::TimeDelta;
use tokio_postgres::NoTls;

use crate::support::{Answer, Server};

async fn ready(server: &Server) -> Answer {
    Answer::of(server.http().get(server.at("/readyz"))).await
}

/// A dump, or a session that was left in a transaction, reads a table of which something is due to be dropped.
#[tokio::test]
async fn a_reader_of_one_table_keeps_no_partition_from_being_made() {
    let server = Server::usual().await;
    let url = server.app.config.database.url.as_deref().unwrap();
    let (reader, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    reader.batch_execute("BEGIN; LOCK TABLE access_tokens IN ACCESS SHARE MODE").await.unwrap();
    server.clock.advance(TimeDelta::days(1));
    let unready = ready(&server).await;
    assert_eq!(unready.status, 503);
    for missing in ["access_tokens", "used_jtis"] {
        assert!(unready.text.contains(&format!("partitions of {missing}")), "{unready:?}");
    }
    server.turn("partitions").await;
    // What was found a moment ago may be answered again.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let answer = ready(&server).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let partitions = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class \
                      WHERE relname LIKE 'access_tokens_%' AND relkind = 'r'";
    let held = server.value(partitions).await;
    assert!(held.split(' ').count() > 8, "what is read is not dropped: {held}");
    drop(reader);
    let _ = connection.await;
    server.turn("partitions").await;
    let kept = server.value(partitions).await;
    assert!(kept.split(' ').count() <= 8, "{kept}");
}

/// A name is taken, so that one table gets no partition: the others do, and the job says which one does not.
#[tokio::test]
async fn one_table_that_fails_keeps_no_other_from_its_partitions() {
    let server = Server::usual().await;
    server.clock.advance(TimeDelta::days(1));
    // A part of the present period of tomorrow is taken by a table of another name.
    let start = "date_bin('6 hours', now() + interval '1 day', to_timestamp(0))";
    let elsewhere = format!(
        "CREATE TABLE elsewhere PARTITION OF access_tokens FOR VALUES FROM (uuid_floor({start})) \
         TO (uuid_floor({start} + interval '1 hour'))"
    );
    server.rows(&elsewhere).await;
    let job = mooring::jobs::JOBS.iter().find(|job| job.name == "partitions").unwrap();
    let failed = job.turn(&server.app).await.unwrap_err().to_string();
    assert!(failed.contains("access_tokens_"), "{failed}");
    let missing = "SELECT array_to_string(missing_partitions(now() + interval '1 day'), ' ')";
    assert_eq!(server.value(missing).await, "");
}
