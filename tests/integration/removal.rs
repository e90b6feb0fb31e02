//! What goes when nothing may refer to it any more: sessions with all that hung on them, and audit events by class.

use chrono::TimeDelta;
use mooring::{audit::Actor, db::session_ends, sessions};
use uuid::Uuid;

use crate::support::{ALICE, Server, Settings, token};

const TABLES: [&str; 5] = ["sessions", "session_activity", "session_clients", "grants", "step_ups"];

async fn count(server: &Server, table: &str) -> u32 {
    server.value(&format!("SELECT count(*) FROM {table}")).await.parse().unwrap()
}

async fn counts(server: &Server) -> Vec<u32> {
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(count(server, table).await);
    }
    counts
}

async fn later(server: &Server, days: i64) {
    server.advance(TimeDelta::days(days)).await;
    for job in ["dead sessions", "authorization requests", "settled notices", "visitors", "ended sessions"] {
        server.turn(job).await;
    }
}

#[tokio::test]
async fn an_ended_session_leaves_nothing_but_its_events() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    for _ in 0..3 {
        client.tokens(&agent, "openid").await;
    }
    let person = server.value("SELECT id FROM sessions WHERE kind = 'user'").await;
    let events = count(&server, "audit_events").await;

    // What it left can be looked at for a while. Its grants are of no use to anybody.
    later(&server, 1).await;
    later(&server, 5).await;
    assert_eq!(server.value("SELECT end_reason FROM sessions WHERE kind = 'user'").await, "expired");
    assert_eq!(count(&server, "grants").await, 3);
    later(&server, 3).await;
    assert_eq!(count(&server, "grants").await, 0);
    assert_eq!(server.value("SELECT string_agg(client_id, ' ') FROM session_clients").await, "web");

    later(&server, 24).await;
    // The visitor that it was before goes after it.
    later(&server, 2).await;
    assert_eq!(counts(&server).await, [0; 5]);
    assert!(count(&server, "audit_events").await > events);
    let told = format!("SELECT count(*) FROM audit_events WHERE session_id = '{person}' AND action = 'session.ended'");
    assert_eq!(server.value(&told).await, "1");
}

#[tokio::test]
async fn offline_access_keeps_the_session_it_came_from() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let mut tokens = client.tokens(&agent, "openid offline_access").await;
    client.tokens(&agent, "openid").await;
    let sid: Uuid = token::claims(&tokens.id)["sid"].as_str().unwrap().parse().unwrap();
    for _ in 0..8 {
        later(&server, 10).await;
        tokens = client.refresh(&tokens.refresh).await.tokens();
        assert!(client.is_active(&tokens.access).await);
    }
    assert_eq!(token::claims(&tokens.id)["sid"], sid.to_string());
    assert_eq!(count(&server, "grants").await, 1, "the other one went");
    let found = server.work(async |tx| mooring::db::sessions::resolve(tx, sid).await).await;
    assert_eq!(found.len(), 2, "the session and its offline access, by the name that the client knows");

    server.work(async |tx| sessions::end(tx, found[1], "ended_by_operator", Actor::Operator).await).await;
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    for _ in 0..20 {
        later(&server, 3).await;
    }
    assert_eq!(counts(&server).await, [0; 5]);
    // As before it went.
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    let ended = agent.open(&server.at(&format!("/oauth/end_session?id_token_hint={}", tokens.id))).await;
    assert_eq!(ended.status, 200, "{}", ended.body);
}

#[tokio::test]
async fn privileged_work_goes_with_its_session() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let page = agent.walk(&client.request("openid payments:write").url(), ALICE).await;
    server.prove(&page, ALICE, sessions::Proof::PASSKEY).await;
    let request = crate::support::proof::request_of(&page);
    agent.walk(&server.at(&format!("/oauth/authorize/{request}")), ALICE).await.code();
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "1");
    for _ in 0..8 {
        later(&server, 8).await;
    }
    assert_eq!(counts(&server).await, [0; 5]);
}

/// A token that was long replaced is recognized for as long as the grant is kept, though all of it is dead.
#[tokio::test]
async fn a_replay_after_the_end_is_logged_while_kept() {
    let server = Server::usual().await;
    let client = server.client("web");
    let mut refresh = vec![client.tokens(&server.agent(), "openid").await.refresh];
    for _ in 0..3 {
        let last = refresh.last().unwrap().clone();
        refresh.push(client.refresh(&last).await.tokens().refresh);
    }
    let id: Uuid = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    server.work(async |tx| sessions::end(tx, id, "signed_out", Actor::User).await).await;
    let replays = async || server.events("refresh.replayed", "refused").await;
    for (token, told) in [(3, 0), (2, 0), (0, 1), (1, 2)] {
        client.refresh(&refresh[token]).await.refused("invalid_grant");
        assert_eq!(replays().await, told, "token {token}");
    }
    // Nobody else's, and no forged one.
    server.client("web2").refresh(&refresh[0]).await.refused("invalid_grant");
    let forged = format!("{}AAAA", &refresh[0][..refresh[0].len() - 4]);
    client.refresh(&forged).await.refused("invalid_grant");
    assert_eq!(replays().await, 2);
    later(&server, 6).await;
    client.refresh(&refresh[0]).await.refused("invalid_grant");
    assert_eq!(replays().await, 3);
    later(&server, 2).await;
    client.refresh(&refresh[0]).await.refused("invalid_grant");
    assert_eq!(replays().await, 3);
}

/// However many grants a session has, a turn removes all of them, some at a time.
#[tokio::test]
async fn a_session_with_very_many_grants_goes_too() {
    let server = Server::usual().await;
    server.client("web").tokens(&server.agent(), "openid").await;
    server
        .rows(
            "INSERT INTO grants (id, session_id, user_id, client_id, sid, scope, acr, created_at) \
             SELECT new_id(now()), session_id, user_id, client_id, sid, scope, acr, now() FROM grants, generate_series(1, 12000)",
        )
        .await;
    later(&server, 1).await;
    later(&server, 40).await;
    later(&server, 2).await;
    assert_eq!(counts(&server).await, [0; 5]);
}

#[tokio::test]
async fn how_long_is_the_operators_choice() {
    let settings = Settings::default().set("retention.sessions", "2d").set("retention.grants", "30d");
    let server = Server::start(settings).await;
    server.client("web").tokens(&server.agent(), "openid").await;
    later(&server, 1).await;
    later(&server, 1).await;
    assert_eq!(count(&server, "grants").await, 1);
    later(&server, 2).await;
    later(&server, 2).await;
    assert_eq!(counts(&server).await, [0; 5], "a grant does not outlast its session");
}

/// What others are still to be told keeps the session that they are told of.
#[tokio::test]
async fn a_session_waits_for_its_notices() {
    let server = Server::usual().await;
    server.client("web").tokens(&server.agent(), "openid").await;
    let id: Uuid = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    server.work(async |tx| session_ends::end(tx, id, "signed_out", None).await).await;
    server
        .rows(&format!(
            "INSERT INTO notices (id, kind, session_id, client_id, sid, created_at, due_at) \
             SELECT new_id(now()), 'backchannel_logout', session_id, client_id, sid, now(), 'infinity' \
             FROM session_clients WHERE session_id = '{id}'"
        ))
        .await;
    later(&server, 1).await;
    later(&server, 40).await;
    assert_eq!(count(&server, "notices").await, 1);
    assert_eq!(server.value(&format!("SELECT count(*) FROM sessions WHERE id = '{id}'")).await, "1");
    server.rows("UPDATE notices SET delivered_at = created_at").await;
    later(&server, 2).await;
    later(&server, 2).await;
    assert_eq!(counts(&server).await, [0; 5]);
}

/// Another replica that is at it is left to it.
#[tokio::test]
async fn one_replica_at_a_time_removes() {
    let server = Server::usual().await;
    server.client("web").tokens(&server.agent(), "openid").await;
    later(&server, 1).await;
    server.advance(TimeDelta::days(60)).await;
    let held = "SELECT pg_advisory_lock(hashtext('mooring.job.ended sessions')); SELECT pg_sleep(1.5)";
    tokio::join!(server.rows(held), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        server.turn("ended sessions").await;
        assert_eq!(count(&server, "grants").await, 1);
    });
    server.turn("ended sessions").await;
    assert_eq!(count(&server, "grants").await, 0);
}

/// Events of every kind, of so many days ago, in a partition of then.
fn old_events(days: i64) -> String {
    format!(
        "DO $$ DECLARE n bigint := floor(extract(epoch FROM now() - interval '{days} days') / 2592000);
            child text := 'audit_events_' || (n * 2592000); BEGIN
            IF to_regclass(child) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)', child,
                    uuid_floor(to_timestamp(n * 2592000)), uuid_floor(to_timestamp((n + 1) * 2592000)));
            END IF;
            INSERT INTO audit_events (id, at, kind, actor, action, outcome)
                SELECT new_id(now() - interval '{days} days'), now() - interval '{days} days', kind, 'server', 'old', 'done'
                FROM unnest('{{visitor,user,privileged,service,offline,device,server}}'::text[]) kind, generate_series(1, 20);
        END $$"
    )
}

async fn old_kinds(server: &Server, days: i64) -> String {
    let kinds = format!(
        "SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM audit_events \
         WHERE action = 'old' AND at < now() - interval '{} days' AND at > now() - interval '{} days'",
        days - 1,
        days + 1
    );
    server.value(&kinds).await
}

#[tokio::test]
async fn audit_events_go_by_their_class() {
    let server = Server::usual().await;
    for days in [10, 100, 500, 3000] {
        server.rows(&old_events(days)).await;
    }
    for _ in 0..2 {
        server.turn("audit retention").await;
        let all = "device offline privileged server service user visitor";
        assert_eq!(old_kinds(&server, 10).await, all);
        assert_eq!(old_kinds(&server, 100).await, "device offline privileged server service user");
        assert_eq!(old_kinds(&server, 500).await, "privileged server");
        assert_eq!(old_kinds(&server, 3000).await, "");
    }
    let eldest = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_events'::regclass \
                  AND substring(inhrelid::regclass::text FROM '[0-9]+$')::bigint < extract(epoch FROM now() - interval '8 years')";
    assert_eq!(server.value(eldest).await, "0", "its partition is dropped");
}

#[tokio::test]
async fn the_server_cannot_have_young_events_removed() {
    let server = Server::usual().await;
    server.client("web").tokens(&server.agent(), "openid").await;
    let before = count(&server, "audit_events").await;
    for statement in [
        "SELECT remove_audit_events('user', now() + interval '1 day', 1000)",
        "SELECT remove_audit_events('user', now() - interval '6 days', 1000)",
        "SELECT drop_audit_partition(now() + interval '10 years')",
    ] {
        assert_eq!(server.as_server(statement).await, Err("22023".to_owned()), "{statement}");
    }
    assert_eq!(server.as_server("DELETE FROM audit_events").await, Err("42501".to_owned()));
    assert_eq!(count(&server, "audit_events").await, before);
}

/// The schema and the program speak of the same classes.
#[tokio::test]
async fn every_kind_of_event_has_a_class() {
    let server = Server::usual().await;
    let classes = "SELECT string_agg(kind || ' ' || audit_class(kind), ', ') FROM \
                   unnest('{visitor,user,privileged,service,offline,device,server}'::text[]) kind";
    assert_eq!(
        server.value(classes).await,
        "visitor visitor, user user, privileged privileged, service user, offline user, device user, server privileged"
    );
}
