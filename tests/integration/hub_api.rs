//! The admin API: who may use it, what it shows, what it does, and that it is all described.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use mooring::{audit::Actor, sessions};
use serde_json::{Value, json};

use crate::support::{ALICE, Answer, BOB, Server, Settings, client::Tokens};

const ROUTES: &str = include_str!("../../src/http/routes.rs");
const API: &str = "/hub/api/v1";

/// A token of alice's for the watcher's scope, on a privileged session, as a step-up leaves them.
async fn watcher(server: &Server) -> String {
    let tokens = server.client("web").tokens(&server.agent(), "openid").await;
    server
        .rows(
            "UPDATE users SET admin_at = now() WHERE username = 'alice';
             WITH parent AS (SELECT * FROM sessions WHERE kind = 'user' ORDER BY id DESC LIMIT 1),
             child AS (INSERT INTO sessions (id, kind, parent_id, user_id, acr, auth_time, epoch, expires_at, created_at)
                 SELECT new_id(now()), 'privileged', id, user_id, 'phr', now(), epoch, now() + interval '15 minutes', now()
                 FROM parent RETURNING id),
             seen AS (INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() FROM child)
             UPDATE access_tokens SET scope = 'hub:sessions', session_id = (SELECT id FROM child)
             WHERE session_id = (SELECT id FROM parent)",
        )
        .await;
    tokens.access
}

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    Answer::of(server.http().get(server.at(&format!("{API}{path}"))).bearer_auth(token)).await
}

async fn post(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    Answer::of(server.http().post(server.at(&format!("{API}{path}"))).bearer_auth(token).json(body)).await
}

async fn newest(server: &Server, kind: &str) -> String {
    server.value(&format!("SELECT id FROM sessions WHERE kind = '{kind}' ORDER BY id DESC LIMIT 1")).await
}

#[tokio::test]
async fn without_a_token_nobody_and_with_an_ordinary_one_nobody_either() {
    let server = Server::usual().await;
    let ordinary = server.client("web").tokens(&server.agent(), "openid").await.access;
    let watcher = watcher(&server).await;
    let id = newest(&server, "user").await;
    let reason = json!({ "reason": "odd" });
    let paths =
        ["", "?kind=user", &format!("/{id}"), &format!("/{id}/lock"), &format!("/{id}/unlock"), &format!("/{id}/end")];
    let call = async |token: Option<&str>, path: &str| {
        let url = server.at(&format!("{API}/sessions{path}"));
        let is_change = ["/lock", "/unlock", "/end"].iter().any(|end| path.ends_with(end));
        let request = if is_change { server.http().post(url).json(&reason) } else { server.http().get(url) };
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        Answer::of(request).await
    };
    for path in paths {
        let nobody = call(None, path).await;
        assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, "Bearer"), "{path}: {nobody:?}");
        call(Some("nonsense"), path).await.token_refused();
        let refused = call(Some(&ordinary), path).await;
        refused.refused_with(403, "insufficient_scope");
        assert!(refused.header("www-authenticate").contains("insufficient_scope"), "{refused:?}");
    }
    // Who is no administrator any more, is none here.
    server.rows("UPDATE users SET admin_at = NULL").await;
    for path in paths {
        call(Some(&watcher), path).await.refused_with(403, "insufficient_scope");
    }
    server.rows("UPDATE users SET admin_at = now() WHERE username = 'alice'").await;
    call(Some(&watcher), "").await.ok();
    // The scope alone is not enough: the token has to hang on a privileged session, and be for this server.
    let mend = "UPDATE access_tokens SET audience = ARRAY[(SELECT audience[1] FROM access_tokens WHERE scope <> 'hub:sessions' LIMIT 1)]";
    server.rows("UPDATE access_tokens SET audience = '{https://api.example}' WHERE scope = 'hub:sessions'").await;
    call(Some(&watcher), "").await.token_refused();
    server.rows(mend).await;
    call(Some(&watcher), "").await.ok();
    server.rows("UPDATE access_tokens SET scope = 'hub:sessions'").await;
    call(Some(&ordinary), "").await.refused_with(403, "insufficient_scope");
    // Nothing was changed by any of it, and a cookie is no token.
    assert_eq!(server.value("SELECT count(*) FROM audit_events WHERE actor = 'administrator'").await, "0");
    // A dead one is dead: with its session, its parent, its person.
    for end in [
        "UPDATE sessions SET locked_at = now() WHERE kind = 'user'",
        "UPDATE sessions SET locked_at = NULL; UPDATE sessions SET ended_at = now() WHERE kind = 'privileged'",
    ] {
        server.rows(end).await;
        call(Some(&watcher), "").await.token_refused();
    }
}

/// A scope of the hub that the configuration declares anew is judged at each call by what it says there.
#[tokio::test]
async fn the_rules_of_the_scope_count_at_each_call() {
    let declared = "[[scope]]\nname = \"hub:sessions\"\nprivileged = true\ngroups = [\"watch\"]\n";
    let server = Server::start(Settings::default().declare(declared)).await;
    let token = watcher(&server).await;
    // An administrator, and in no group.
    get(&server, &token, "/sessions").await.refused_with(403, "insufficient_scope");
    let why = "SELECT reason || ' ' || (detail ->> 'scope') FROM audit_events WHERE action = 'access.refused'";
    assert_eq!(server.value(why).await, "not_in_group [\"hub:sessions\"]");
    server.rows("UPDATE users SET groups = '{watch}', admin_at = NULL WHERE username = 'alice'").await;
    get(&server, &token, "/sessions").await.ok();
    server.rows("UPDATE users SET groups = '{watchers}' WHERE username = 'alice'").await;
    let id = newest(&server, "user").await;
    let end = post(&server, &token, &format!("/sessions/{id}/end"), &json!({ "reason": "odd" })).await;
    end.refused_with(403, "insufficient_scope");
    assert_eq!(server.value(&format!("SELECT ended_at IS NULL FROM sessions WHERE id = '{id}'")).await, "t");

    // Who has to be both is neither of them alone; and another replica goes by its own configuration.
    let both = declared.replace("privileged", "administrators = true\nhours = \"Mon-Sun 00:00-24:00\"\nprivileged");
    let replica = server.replica(Settings::default().declare(&both)).await;
    server.rows("UPDATE users SET groups = '{watch}' WHERE username = 'alice'").await;
    get(&server, &token, "/sessions").await.ok();
    get(&replica, &token, "/sessions").await.refused_with(403, "insufficient_scope");
    server.rows("UPDATE users SET admin_at = now() WHERE username = 'alice'").await;
    get(&replica, &token, "/sessions").await.ok();
}

#[tokio::test]
async fn sessions_are_found_by_kind_person_and_life() {
    let server = Server::usual().await;
    let bob = server.agent();
    server.client("web").code_for(&bob, BOB, "openid").await;
    let token = watcher(&server).await;
    let list = async |query: &str| {
        let body = get(&server, &token, &format!("/sessions{query}")).await.ok();
        let sessions = body["sessions"].as_array().unwrap().clone();
        (sessions, body["next"].clone())
    };
    let (all, next) = list("").await;
    assert_eq!(next, Value::Null);
    assert!(all.windows(2).all(|pair| pair[0]["id"].as_str() > pair[1]["id"].as_str()), "newest first: {all:?}");
    let kinds =
        |sessions: &[Value]| sessions.iter().map(|it| it["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (privileged, _) = list("?kind=privileged&live=true").await;
    let [one] = &privileged[..] else { panic!("{privileged:?}") };
    assert_eq!((&one["username"], &one["live"], &one["acr"]), (&json!(ALICE), &json!(true), &json!("phr")), "{one}");
    assert_eq!(one["parent_id"], newest(&server, "user").await);
    assert_eq!(kinds(&list("?user=bob&live=true").await.0), ["user"]);
    let by_id = server.user_id(BOB).await;
    assert_eq!(kinds(&list(&format!("?user={by_id}&live=true")).await.0), ["user"]);
    assert!(list("?user=nobody").await.0.is_empty());
    assert_eq!(list("?client=web&kind=user").await.0.len(), 2);
    // Page by page it is the same.
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let (page, next) = list(&query).await;
        paged.extend(page);
        let Some(next) = next.as_str() else { break };
        query = format!("?limit=2&before={next}");
    }
    assert_eq!(paged, all);
    for wrong in
        ["?knid=user", "?live=yes", "?limit=0", "?limit=1001", "?limit=x", "?before=x", "?kind=user&kind=visitor"]
    {
        get(&server, &token, &format!("/sessions{wrong}")).await.refused_with(400, "invalid_request");
    }
    get(&server, &token, "/sessions/0198c0de-0000-7000-8000-000000000000").await.refused_with(404, "invalid_request");
    get(&server, &token, "/sessions/nonsense").await.refused_with(404, "invalid_request");
}

#[tokio::test]
async fn a_watcher_locks_unlocks_and_ends_and_it_bites_on_every_replica() {
    let server = Server::usual().await;
    let replica = server.replica(Settings::default()).await;
    let agent = server.agent();
    let code = server.client("web2").code_for(&agent, BOB, "openid").await;
    let tokens: Tokens = server.client("web2").redeem(&code).await.tokens();
    let id = newest(&server, "user").await;
    let token = watcher(&server).await;
    let is_active = async || {
        let mut seen = Vec::new();
        for server in [&server, &replica] {
            seen.push(server.client("api").is_active(&tokens.access).await);
        }
        assert_eq!(seen[0], seen[1], "the replicas disagree");
        seen[0]
    };
    let change = async |verb: &str, body: Value| post(&replica, &token, &format!("/sessions/{id}/{verb}"), &body).await;
    server.client("api").report(&json!({ "token": tokens.access })).await;

    assert!(is_active().await);
    let locked = change("lock", json!({ "reason": "odd payments" })).await.ok();
    assert_eq!((&locked["live"], &locked["lock_reason"]), (&json!(false), &json!("odd payments")), "{locked}");
    assert!(!is_active().await);
    change("lock", json!({ "reason": "again" })).await.refused_with(409, "invalid_request");
    let unlocked = change("unlock", json!({ "reason": "it was bob" })).await.ok();
    assert_eq!((&unlocked["live"], &unlocked["locked_at"]), (&json!(true), &Value::Null), "{unlocked}");
    assert!(is_active().await);
    change("unlock", json!({ "reason": "again" })).await.refused_with(409, "invalid_request");
    for wrong in [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "x\ny" }),
        json!({ "reason": "x".repeat(201) }),
        json!({ "reason": "x", "by": "y" }),
    ] {
        change("end", wrong).await.refused_with(400, "invalid_request");
    }
    assert!(is_active().await);
    // By the name that the client knows it by.
    let sid = server.client("web2").introspect(&tokens.access).await.ok()["sid"].as_str().unwrap().to_owned();
    let ended =
        post(&server, &token, &format!("/sessions/{sid}/end"), &json!({ "reason": "stolen laptop" })).await.ok();
    let why = (&ended["end_reason"], &ended["end_note"]);
    assert_eq!((&ended["id"], why), (&json!(id), (&json!("ended_by_operator"), &json!("stolen laptop"))), "{ended}");
    assert!(!is_active().await);
    change("end", json!({ "reason": "again" })).await.refused_with(409, "invalid_request");
    change("unlock", json!({ "reason": "again" })).await.refused_with(409, "invalid_request");
    let nobodys = "/sessions/0198c0de-0000-7000-8000-000000000000/end";
    post(&server, &token, nobodys, &json!({ "reason": "x" })).await.refused_with(404, "invalid_request");

    // The timeline tells all of it, and who did it.
    let shown = get(&server, &token, &format!("/sessions/{id}")).await.ok();
    let timeline = shown["timeline"].as_array().unwrap();
    let told: Vec<String> = timeline
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", text("actor"), text("action"), text("reason"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "user session.started -",
            "user consent.granted -",
            "user code.issued -",
            "client code.redeemed -",
            "client work.reported -",
            "administrator session.locked odd payments",
            "administrator session.unlocked it was bob",
            "administrator session.ended stolen laptop",
        ]
    );
    let alice = server.user_id(ALICE).await;
    let by: Vec<_> = timeline[5..].iter().map(|event| event["detail"]["by"].as_str().unwrap()).collect();
    assert_eq!(by, [&alice; 3]);
    assert!(timeline.iter().all(|event| event["user"] == shown["user_id"] && event["source"].is_string()), "{shown}");
}

/// A privileged session dies with its parent's lock, and lives again with it.
#[tokio::test]
async fn a_locked_parent_locks_its_privileged_child() {
    let server = Server::usual().await;
    let token = watcher(&server).await;
    let parent = newest(&server, "user").await;
    let child = newest(&server, "privileged").await;
    let is_active = async || server.client("api").is_active(&token).await;
    assert!(is_active().await);
    for id in [&parent, &child] {
        let id = id.parse().unwrap();
        assert!(server.work(async |tx| sessions::lock(tx, id, "odd", Actor::Operator).await).await);
        assert!(!is_active().await);
        get(&server, &token, "/sessions").await.token_refused();
        // What is locked is not told dead.
        server.advance(TimeDelta::seconds(30)).await;
        server.work(async |tx| sessions::end_dead(tx, 100).await).await;
        assert!(server.work(async |tx| sessions::unlock(tx, id, "fine", Actor::Operator).await).await);
        assert!(is_active().await);
    }
}

/// Everything under the API is in the document, and everything in the document is there.
#[tokio::test]
async fn every_route_is_described_and_everything_described_is_there() {
    let server = Server::usual().await;
    let answer = Answer::of(server.http().get(server.at(&format!("{API}/openapi.json")))).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let document = answer.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    assert_eq!(document["servers"][0]["url"], server.issuer);
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert(format!("{method} {path}"));
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            assert!(operation["security"].is_array(), "who may {method} {path}?");
            let statuses: Vec<_> = operation["responses"].as_object().unwrap().keys().collect();
            assert!(path.ends_with("openapi.json") || statuses.iter().any(|it| *it == "401"), "{method} {path}");
        }
    }
    let routed: BTreeSet<String> = ROUTES
        .split("at(\"")
        .filter_map(|rest| {
            let (path, rest) = rest.split_once('"')?;
            path.starts_with(API).then(|| (path, rest.split("])").next().unwrap_or_default()))
        })
        .flat_map(|(path, verbs)| {
            ["get", "post", "put", "delete"]
                .into_iter()
                .filter(move |verb| verbs.contains(&format!("{verb}().to")))
                .map(move |verb| format!("{verb} {path}"))
        })
        .collect();
    assert!(routed.len() > 5, "{routed:?}");
    assert_eq!(described, routed);
    // What it refers to is there.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The `sid` of a token names all that the client has of that sign-in: also the offline access that came of it, and alone when
/// the sign-in has ended. A session's own id names that session.
#[tokio::test]
async fn by_the_sid_of_a_token_that_token_is_stopped() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    let tokens = client.tokens(&agent, "openid offline_access").await;
    let token = watcher(&server).await;
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    let sid = client.introspect(&refreshed.access).await.ok()["sid"].as_str().unwrap().to_owned();
    let reason = json!({ "reason": "leaked" });

    for (path, is_active) in [("lock", false), ("unlock", true)] {
        post(&server, &token, &format!("/sessions/{sid}/{path}"), &reason).await.ok();
        for access in [&tokens.access, &refreshed.access] {
            assert_eq!(client.is_active(access).await, is_active, "{path}");
        }
    }
    let origin = server.value(&format!("SELECT session_id FROM session_clients WHERE sid = '{sid}'")).await;
    post(&server, &token, &format!("/sessions/{origin}/end"), &reason).await.ok();
    assert!(!client.is_active(&tokens.access).await && client.is_active(&refreshed.access).await);
    post(&server, &token, &format!("/sessions/{sid}/end"), &reason).await.ok();
    assert!(!client.is_active(&refreshed.access).await);
    client.refresh(&refreshed.refresh).await.refused("invalid_grant");
    post(&server, &token, &format!("/sessions/{sid}/end"), &reason).await.refused_with(409, "invalid_request");
}
