//! Lists, exports and counts: they read what they show and no more, PostgreSQL stops them in time, and one replica counts for all.

use std::time::Duration;

use chrono::TimeDelta;
use mooring::{
    audit::{self, ExportFilter},
    db::{
        audit_events::Wanted,
        counts, reports,
        session_lists::{self, Filter},
    },
    failure::Broken,
};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::{ALICE, Server, Settings};

/// Many sessions of one client and few of another, with their events.
const MANY: &str = "
    INSERT INTO clients (client_id, metadata, created_at, updated_at)
        SELECT unnest('{common,rare}'::text[]), '{}', now(), now();
    INSERT INTO sessions (id, kind, user_id, acr, expires_at, created_at)
        SELECT new_id(now() - n * interval '1 second'), CASE WHEN n % 10000 = 5000 THEN 'device' ELSE 'user' END, u.id, '',
            now() + interval '1 day', now() - n * interval '1 second'
        FROM generate_series(1, 30000) n, users u WHERE u.username = 'bob';
    INSERT INTO sessions (id, kind, user_id, client_id, acr, expires_at, created_at)
        SELECT new_id(now() - n * interval '1 hour'), 'offline', u.id, 'rare', '', now() + interval '1 day', now() - n * interval '1 hour'
        FROM generate_series(1, 3) n, users u WHERE u.username = 'bob';
    INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() FROM sessions;
    INSERT INTO session_clients SELECT id, 'common', gen_random_uuid(), now() FROM sessions WHERE kind <> 'offline';
    INSERT INTO session_clients SELECT id, 'rare', gen_random_uuid(), now() FROM sessions WHERE kind <> 'offline' ORDER BY id LIMIT 4;
    INSERT INTO audit_events (id, at, kind, session_id, actor, client_id, action, outcome)
        SELECT new_id(now()), now(), 'user', s.id, 'user', 'common', 'old', 'done'
        FROM sessions s, generate_series(1, 2) n WHERE s.kind = 'user';
    INSERT INTO audit_events (id, at, kind, actor, action, outcome)
        SELECT new_id(now()), now(), 'privileged', 'user', 'old', 'done' FROM generate_series(1, 3);
    ANALYZE";

/// How many rows were read of these tables until now.
async fn read(server: &Server, tables: &str) -> u64 {
    let rows = format!(
        "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname ~ '^({tables})'"
    );
    server.value(&rows).await.parse().unwrap()
}

/// How many rows a report reads. PostgreSQL's processes publish their counts at most once a second, at the end of a transaction.
async fn cost<T>(server: &Server, tables: &str, report: impl AsyncFn() -> T) -> (T, u64) {
    report().await;
    sleep(Duration::from_millis(1200)).await;
    report().await;
    let before = read(server, tables).await;
    for _ in 0..2 {
        report().await;
        sleep(Duration::from_millis(1200)).await;
    }
    let found = report().await;
    (found, (read(server, tables).await - before) / 2)
}

async fn listed(server: &Server, filter: &Filter<'_>) -> Vec<Uuid> {
    server
        .work(async |tx| -> Result<_, Broken> {
            reports::begin(tx, Some(reports::WAITED_FOR)).await?;
            Ok(session_lists::load(tx, filter).await?.into_iter().map(|row| row.id).collect())
        })
        .await
}

#[tokio::test]
async fn a_list_reads_what_it_shows() {
    let server = Server::usual().await;
    server.rows(MANY).await;
    let tables = "sessions|session_clients|session_activity";
    let common = Filter { client_id: Some("common"), limit: 10, ..Filter::default() };
    let rare = Filter { client_id: Some("rare"), limit: 100, ..Filter::default() };
    for (filter, count) in [
        (rare.clone(), 7),
        (Filter { kind: Some("offline"), ..rare.clone() }, 3),
        (Filter { kind: Some("user"), live_only: true, ..rare.clone() }, 4),
        (Filter { limit: 2, ..rare.clone() }, 2),
        (common.clone(), 10),
        (Filter { live_only: true, kind: Some("user"), ..common.clone() }, 10),
        (Filter { kind: Some("device"), limit: 100, ..Filter::default() }, 3),
        (Filter { kind: Some("privileged"), limit: 100, ..Filter::default() }, 0),
        (Filter { limit: 10, ..Filter::default() }, 10),
    ] {
        let (found, rows) = cost(&server, tables, async || listed(&server, &filter).await).await;
        assert_eq!(found.len(), count, "{filter:?}");
        assert!(found.is_sorted_by(|one, next| one > next), "newest first: {filter:?}");
        assert!(rows < 500, "{rows} rows are read: {filter:?}");
        if let [first, .., last] = found.as_slice() {
            let rest = listed(&server, &Filter { before: Some(*first), ..filter.clone() }).await;
            assert!(rest.contains(last) && !rest.contains(first), "{filter:?}");
        }
    }
    let user_id = server.user_id("bob").await.parse().unwrap();
    let both = Filter { user_id: Some(user_id), ..rare.clone() };
    assert_eq!(listed(&server, &both).await.len(), 7);
    let nobody = Filter { user_id: Some(server.user_id(ALICE).await.parse().unwrap()), ..rare };
    assert_eq!(listed(&server, &nobody).await.len(), 0);
}

async fn exported(server: &Server, filter: &ExportFilter) -> Vec<Value> {
    let mut lines = Vec::new();
    audit::export(&server.app.db, server.clock.now(), filter, &mut lines).await.unwrap();
    String::from_utf8(lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_export_reads_what_it_prints() {
    let server = Server::start(Settings::default().connections(1)).await;
    server.rows(MANY).await;
    let session: Uuid = server.value("SELECT id FROM sessions WHERE kind = 'user' LIMIT 1").await.parse().unwrap();
    let of_session = Wanted { session_id: Some(session), ..Wanted::default() };
    let of_kind = Wanted { kind: Some("privileged".to_owned()), ..Wanted::default() };
    let an_hour_ago = server.clock.now() - TimeDelta::hours(1);
    for (since, wanted, count) in [
        (None, of_session.clone(), 2),
        (None, Wanted { kind: Some("user".to_owned()), ..of_session.clone() }, 2),
        (None, Wanted { kind: Some("privileged".to_owned()), ..of_session }, 0),
        (Some(an_hour_ago), of_kind.clone(), 3),
        (None, of_kind, 3),
    ] {
        let filter = ExportFilter { since, wanted };
        let (found, rows) = cost(&server, "audit_events", async || exported(&server, &filter).await).await;
        assert_eq!(found.len(), count, "{filter:?}");
        assert!(rows < 500, "{rows} rows are read: {filter:?}");
    }
}

/// What nobody waits for any more, PostgreSQL does not go on with.
#[tokio::test]
async fn a_report_is_stopped_in_the_database() {
    let server = Server::usual().await;
    let report = async || {
        server
            .app
            .db
            .work(server.clock.now(), &mooring::db::Trace::default(), async |tx| {
                reports::begin(tx, Some(Duration::from_millis(300))).await?;
                session_lists::load(tx, &Filter { limit: 1, ..Filter::default() }).await
            })
            .await
    };
    report().await.unwrap();
    let held = "BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT";
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    tokio::join!(server.rows(held), async {
        sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        assert!(report().await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(server.value(waiting).await, "0");
    });
    report().await.unwrap();
    // What comes next on the connection is no report.
    server.client("web").tokens(&server.agent(), "openid").await;
}

#[tokio::test]
async fn sessions_are_counted_rarely_by_one_for_all() {
    let settings = || Settings::default().set("metrics.listen", "127.0.0.1:0");
    let server = Server::start(settings()).await;
    let replica = server.replica(settings()).await;
    let counted = async || {
        let mut counts = server.work(async |tx| counts::load(tx).await).await;
        counts.sort_by(|one, other| one.kind.cmp(&other.kind));
        counts.into_iter().filter(|it| it.count > 0).map(|it| (it.kind, it.count)).collect::<Vec<_>>()
    };
    let client = server.client("web");
    client.tokens(&server.agent(), "openid offline_access").await;
    client.tokens(&server.agent(), "openid").await;
    server.turn("counts").await;
    let three = [("offline".to_owned(), 1), ("user".to_owned(), 2)];
    assert_eq!(counted().await, three);

    server.work(async |tx| mooring::db::session_ends::end(tx, one_of(&server).await, "signed_out", None).await).await;
    replica.turn("counts").await;
    assert_eq!(counted().await, three, "they were counted just now");
    server.advance(TimeDelta::minutes(6)).await;
    replica.turn("counts").await;
    assert_eq!(counted().await, [("offline".to_owned(), 1), ("user".to_owned(), 1)]);
    // One whose time is over is not counted, whether somebody has looked at it or not.
    server.advance(TimeDelta::hours(13)).await;
    server.turn("counts").await;
    assert_eq!(counted().await, [("offline".to_owned(), 1)]);
}

async fn one_of(server: &Server) -> Uuid {
    server.value("SELECT id FROM sessions WHERE kind = 'user' LIMIT 1").await.parse().unwrap()
}
