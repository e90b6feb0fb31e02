//! One privileged session from the wish for it to its end, as the trail tells it, with a real passkey, a resource server
//! that challenges and reports, and a watcher.

use chrono::TimeDelta;
use mooring::{
    audit::{self, Actor, ExportFilter},
    config::builtin::HUB_SESSIONS,
    db::audit_events::Wanted,
    http::resource_server::{Requirement, ResourceServer, Work},
    sessions,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    ALICE, Answer, Server, Settings,
    agent::Agent,
    client::{Client, Code, Tokens},
    declared::SECRET,
    passkey::Passkey,
};

const PAYMENT: Requirement = Requirement::scope("payments:write").acr("phr").max_age(300);

/// Asks for privileged scopes and uses the passkey where that is asked for.
async fn step_up(client: &Client<'_>, agent: &Agent, passkey: &mut Passkey, scope: &str) -> Tokens {
    let request = client.request(scope);
    let page = agent.walk(&request.url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{} {:?}:\n{}", page.url, page.location(), page.body);
    let mut page = agent.use_passkey(&page, passkey).await;
    if page.offers("allow") {
        page = agent.decide(&page, "allow").await;
    }
    client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens()
}

async fn privileged_session(server: &Server) -> Uuid {
    let newest = "SELECT id FROM sessions WHERE kind = 'privileged' ORDER BY id DESC LIMIT 1";
    server.value(newest).await.parse().unwrap()
}

/// Each event as actor, action, outcome and reason.
fn told(events: &[Value]) -> Vec<String> {
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let line = |event: &Value| ["actor", "action", "outcome", "reason"].map(|name| text(event, name)).join(" ");
    events.iter().map(line).collect()
}

async fn timeline(server: &Server, id: Uuid) -> Vec<Value> {
    let events = server.work(async |tx| audit::timeline(tx, id).await).await;
    events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

/// The privileged trail, once it has so many events: an export waits for transactions that are under way anywhere in the
/// cluster, those of other tests too.
async fn exported(server: &Server, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let events = export(server).await;
        if events.len() >= count {
            return events;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    export(server).await
}

async fn export(server: &Server) -> Vec<Value> {
    let filter = ExportFilter {
        wanted: Wanted { kind: Some("privileged".to_owned()), ..Wanted::default() },
        ..ExportFilter::default()
    };
    let mut lines = Vec::new();
    audit::export(&server.app.db, server.clock.now(), &filter, &mut lines).await.unwrap();
    let lines = String::from_utf8(lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn the_trail_tells_the_whole_life_of_a_privileged_session() {
    let server = Server::start(Settings::default().set("tokens.access", "1h")).await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let client = server.client("web");
    let api = ResourceServer::discover(server.http().clone(), &server.issuer, "api", SECRET).await.unwrap();
    let api = api.at(server.clock.clone());

    // 401: the API says what an ordinary token lacks.
    let ordinary = client.tokens(&agent, "openid").await;
    server.advance(TimeDelta::minutes(6)).await;
    let seen = api.validate(&ordinary.access).await.unwrap().expect("live");
    let refusal = PAYMENT.check(&seen).unwrap_err();
    assert!(refusal.to_string().contains("authentication is required"), "{refusal}");

    // Authorize, passkey, 200.
    let tokens = step_up(&client, &agent, &mut passkey, "openid payments:write").await;
    let id = privileged_session(&server).await;
    let seen = api.validate(&tokens.access).await.unwrap().expect("live");
    PAYMENT.check(&seen).unwrap();
    let work = Work { action: "payment.create", object: Some("payment/42"), outcome: Some("done"), trace_id: None };
    api.report(&seen, &work).await.unwrap();

    assert!(server.work(async |tx| sessions::lock(tx, id, "odd payment", Actor::Operator).await).await);
    assert!(api.validate(&tokens.access).await.unwrap().is_none());
    assert!(server.work(async |tx| sessions::unlock(tx, id, "it was alice", Actor::Operator).await).await);
    assert!(api.validate(&tokens.access).await.unwrap().is_some());
    // Nobody works: it goes idle by itself, and the job tells it.
    server.advance(TimeDelta::minutes(16)).await;
    assert!(api.validate(&tokens.access).await.unwrap().is_none());
    server.work(async |tx| sessions::end_dead(tx, 100).await).await;

    let story = [
        "user privilege.requested done -",
        "user session.started done -",
        "user privilege.proved done -",
        "user code.issued done -",
        "client code.redeemed done -",
        "client work.reported done -",
        "operator session.locked done odd payment",
        "operator session.unlocked done it was alice",
        "server session.ended done expired",
    ];
    let events = timeline(&server, id).await;
    assert_eq!(told(&events), story, "{events:#?}");
    assert_eq!(told(&exported(&server, story.len()).await), story);
    let alice = server.user_id(ALICE).await;
    for event in &events {
        assert_eq!((&event["user"], &event["kind"]), (&json!(alice), &json!("privileged")), "{event}");
        let by_hand = ["operator", "server"].contains(&event["actor"].as_str().unwrap());
        assert!(by_hand || (event["client"].is_string() && event["source"].is_string()), "{event}");
    }
    // With which scopes, how strongly proved, in which session.
    for event in [&events[0], &events[1], &events[2]] {
        assert_eq!(event["detail"]["scope"], json!(["payments:write"]), "{event}");
    }
    assert_eq!(events[2]["detail"]["acr"], "phr");
    assert!(events[1..].iter().all(|event| event["session"] == json!(id)), "{events:#?}");

    // The next one has a story of its own.
    let again = step_up(&client, &agent, &mut passkey, "openid payments:write").await;
    assert!(client.is_active(&again.access).await);
    let next = privileged_session(&server).await;
    assert!(server.work(async |tx| sessions::end(tx, next, "enough", Actor::Operator).await).await);
    let events = told(&timeline(&server, next).await);
    assert_eq!(events.first().unwrap(), story[0], "{events:?}");
    assert_eq!(events.last().unwrap(), "operator session.ended done enough");
    assert_eq!(told(&timeline(&server, id).await), story, "the first one's is as it was");
}

/// Proving oneself again does not get round a lock, and the watcher's own door is the same step-up.
#[tokio::test]
async fn a_watcher_steps_up_and_locks_privileged_work() {
    let hub = format!(
        "[[client]]\nclient_id = \"console\"\nclient_secret = \"{SECRET}\"\n\
         redirect_uris = [\"http://127.0.0.1:9/callback\"]\nscope = \"openid {HUB_SESSIONS}\"\n"
    );
    let server = Server::start(Settings::default().declare(&hub).set("tokens.access", "1h")).await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    server.rows("UPDATE users SET admin_at = now() WHERE username = 'alice'").await;
    let watcher = step_up(&server.client("console"), &agent, &mut passkey, &format!("openid {HUB_SESSIONS}")).await;
    let url = |path: &str| server.at(&format!("/hub/api/v1/sessions{path}"));
    let listed =
        Answer::of(server.http().get(url("?kind=privileged&live=true")).bearer_auth(&watcher.access)).await.ok();
    let [watching] = &listed["sessions"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&watching["username"], &watching["acr"]), (&json!(ALICE), &json!("phr")));

    // Work of the same browser, in the same privileged session; locked, both are dead, and another step-up is refused.
    let client = server.client("web");
    let tokens = step_up(&client, &agent, &mut passkey, "openid payments:write").await;
    let id: Uuid = watching["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(privileged_session(&server).await, id);
    let locked = server.http().post(url(&format!("/{id}/lock"))).bearer_auth(&watcher.access);
    Answer::of(locked.json(&json!({ "reason": "hands off" }))).await.ok();
    assert!(!client.is_active(&tokens.access).await);
    Answer::of(server.http().get(url("")).bearer_auth(&watcher.access)).await.token_refused();
    let request = client.request("openid payments:write").with("max_age", "0");
    let page = agent.walk(&request.url(), ALICE).await;
    let page = agent.use_passkey(&page, &mut passkey).await;
    assert_eq!(page.error(), "access_denied");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "1");
    // The person is still signed in, and ordinary work goes on.
    client.tokens(&agent, "openid").await;
    assert!(server.work(async |tx| sessions::unlock(tx, id, "fine", Actor::Operator).await).await);
    assert!(client.is_active(&tokens.access).await);
}
