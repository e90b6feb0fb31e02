//! What would only cost more if several replicas did it at once is done by one of them at a time.

use crate::support::{Server, Settings};

/// What does the job, while another replica has its turn: nothing is done then.
async fn wait_for(server: &Server, job: &str, open: &str) {
    assert_eq!(server.value(open).await, "1", "{job} has something to do");
    let other = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('mooring.job.{job}')), pg_sleep(1); COMMIT");
    let turn = async {
        let held = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = \
             (hashtext('mooring.job.{job}')::bigint & 4294967295)::oid"
        );
        while server.value(&held).await == "0" {}
        server.turn(job).await;
        assert_eq!(server.value(open).await, "1", "{job} waits for its turn");
    };
    tokio::join!(server.rows(&other), turn);
    server.turn(job).await;
    assert_eq!(server.value(open).await, "0", "{job} is done");
}

#[tokio::test]
async fn one_replica_at_a_time_settles_names() {
    let server = Server::usual().await;
    server.rows("UPDATE user_names SET key = NULL WHERE key = 'alice'").await;
    wait_for(&server, "user names", "SELECT count(*) FROM user_names WHERE key IS NULL AND conflict_at IS NULL").await;
    assert_eq!(server.value("SELECT count(*) FROM user_names WHERE key = 'alice'").await, "1");
}

#[tokio::test]
async fn one_replica_at_a_time_answers_reset_requests() {
    let server = Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await;
    let ask = async |source: &str| {
        let agent = server.agent().forwarded_for(source);
        let page = agent.open(&server.at("/reset-password")).await;
        agent.submit(&page.form_to("/reset-password").fill("username", "nobody")).await;
    };
    ask("203.0.113.1").await;
    wait_for(&server, "reset requests", "SELECT count(*) FROM reset_requests").await;
    // Each is told as its own: the event says who asked.
    ask("203.0.113.2").await;
    ask("203.0.113.3").await;
    server.turn("reset requests").await;
    let sources = "SELECT count(DISTINCT source_hash) FROM audit_events WHERE action = 'password.reset_asked'";
    assert_eq!(server.value(sources).await, "3");
}

/// Of buckets there are at most about a million. Their keys are hashes, so a share of them stands for all.
#[tokio::test]
async fn buckets_that_hold_least_go_where_there_are_too_many() {
    let server = Server::usual().await;
    let fill = |count: u32| {
        format!(
            "TRUNCATE throttles; INSERT INTO throttles (key, empty_at) SELECT '\\x00'::bytea || decode(md5(n::text), 'hex'), \
             now() + n * interval '1 second' FROM generate_series(1, {count}) n"
        )
    };
    let left = "SELECT count(*) || ' ' || round(extract(epoch FROM max(empty_at) - min(empty_at))) FROM throttles";
    server.rows(&fill(3906)).await;
    server.turn("throttles").await;
    assert_eq!(server.value(left).await, "3906 3905", "as many as there may be");
    for many in [3907, 5000, 20_000] {
        server.rows(&fill(many)).await;
        server.turn("throttles").await;
        assert_eq!(server.value(left).await, "3906 3905", "of {many}");
    }
}
