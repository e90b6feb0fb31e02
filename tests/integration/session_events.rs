//! Resource servers report what was done with a token, and the session's timeline shows it.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{
    Answer, Method, Server, Settings,
    client::{Client, basic},
    declared::{RESOURCE, SECRET},
    token,
};

async fn reports(server: &Server) -> Vec<Value> {
    let rows = server
        .rows(
            "SELECT json_build_object('kind', kind, 'session', session_id, 'actor', actor, 'user', user_id, 'client', client_id, \
             'outcome', outcome, 'detail', detail, 'source', source_hash IS NOT NULL) FROM audit_events \
             WHERE action = 'work.reported' ORDER BY id",
        )
        .await;
    rows.iter().map(|row| serde_json::from_str(row[0].as_deref().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn the_work_is_in_the_timeline() {
    let server = Server::usual().await;
    let (client, api) = (server.client("web"), server.client("api"));
    let tokens = client.tokens(&server.agent(), "openid").await;
    let at = (server.clock.now() - TimeDelta::seconds(5)).to_rfc3339();
    let answer = api.report(&json!({ "token": tokens.access, "at": at })).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{answer:?}");
    let session = server.value("SELECT id FROM sessions WHERE kind = 'user'").await;
    let [event] = &reports(&server).await[..] else { panic!("one event") };
    assert_eq!((&event["kind"], &event["session"]), (&json!("user"), &json!(session)), "{event}");
    assert_eq!((&event["actor"], &event["client"]), (&json!("client"), &json!("api")), "{event}");
    assert_eq!(event["user"], json!(server.user_id("alice").await));
    assert_eq!((&event["outcome"], &event["source"]), (&json!("done"), &json!(true)), "{event}");
    let detail = &event["detail"];
    for (name, value) in [
        ("action", "payment.create"),
        ("object", "payment/42"),
        ("outcome", "done"),
        ("trace_id", "t-1"),
        ("used_by", "web"),
    ] {
        assert_eq!(detail[name], value, "{event}");
    }
    let told: chrono::DateTime<chrono::Utc> = detail["at"].as_str().unwrap().parse().unwrap();
    assert!(server.clock.now() - told >= TimeDelta::seconds(5));
    assert!(!event.to_string().contains(&tokens.access), "the token itself is not kept");
    // What is left out is left out.
    let bare = json!({ "token": tokens.access, "object": null, "outcome": null, "trace_id": null });
    assert_eq!(api.report(&bare).await.status, 202);
}

#[tokio::test]
async fn whoever_may_introspect_may_report_and_nobody_else() {
    let settings = Settings::default().declare(&format!(
        "[[client]]\nclient_id = \"{RESOURCE}\"\nclient_secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\n"
    ));
    let server = Server::start(settings).await;
    let tokens = server.client("web").tokens(&server.agent(), "openid").await;
    let report = json!({ "token": tokens.access });
    // Its own; any; not another's.
    assert_eq!(server.client("web").report(&report).await.status, 202);
    assert_eq!(server.client("api").report(&report).await.status, 202);
    server.client("web2").report(&report).await.refused_with(403, "access_denied");
    server.client("machine").report(&report).await.refused_with(403, "access_denied");
    // One that is meant for it.
    let resource = Client { method: Method::Basic(SECRET.to_owned()), id: RESOURCE.to_owned(), ..server.client("web") };
    resource.report(&report).await.refused_with(403, "access_denied");
    let request = server.client("web").request("openid ships:read").with("resource", RESOURCE);
    let agent = server.agent();
    let code = agent.walk(&request.url(), "alice").await.code();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", &request.verifier),
        ("redirect_uri", &server.client("web").redirect_uri),
        ("resource", RESOURCE),
    ];
    let meant = server.client("web").token(&form).await.tokens();
    assert_eq!(token::claims(&meant.access)["aud"], RESOURCE);
    assert_eq!(resource.report(&json!({ "token": meant.access })).await.status, 202);

    // Every method of client authentication.
    for id in ["post", "pkj", "jwt"] {
        let client = server.client(id);
        let own = client.tokens(&server.agent(), "openid").await;
        assert_eq!(client.report(&json!({ "token": own.access })).await.status, 202, "{id}");
    }
    // Without one, or with a wrong one, nobody.
    let spa = server.client("spa");
    let own = spa.tokens(&server.agent(), "openid").await;
    spa.report(&json!({ "token": own.access })).await.refused("invalid_client");
    let web = server.client("web");
    web.by(Method::Basic("x".repeat(40))).report(&report).await.refused("invalid_client");
    web.by(Method::Basic("x".repeat(40))).report(&json!({ "token": "mo_at_x" })).await.refused("invalid_client");
    web.by(Method::None).report(&report).await.refused("invalid_client");
    let url = server.at("/hub/api/v1/sessions/events");
    let bearer =
        server.http().post(&url).bearer_auth(&tokens.access).json(&json!({ "token": tokens.access, "action": "a" }));
    Answer::of(bearer).await.refused("invalid_client");
    let both = web.report(&json!({ "token": tokens.access, "client_secret": SECRET, "client_id": "web" })).await;
    both.refused("invalid_request");
    assert_eq!(reports(&server).await.len(), 6);
}

#[tokio::test]
async fn of_what_is_no_live_access_token_nothing_can_be_told() {
    let server = Server::usual().await;
    let (client, api) = (server.client("web"), server.client("api"));
    let tokens = client.tokens(&server.agent(), "openid").await;
    let cut = &tokens.access[..tokens.access.len() - 3];
    for wrong in ["nonsense", "mo_at_", &tokens.refresh, &tokens.id, cut, "a.b.c"] {
        api.report(&json!({ "token": wrong })).await.refused_with(404, "invalid_token");
    }
    client.revoke(&tokens.access).await;
    api.report(&json!({ "token": tokens.access })).await.refused_with(404, "invalid_token");
    let tokens = client.tokens(&server.agent(), "openid").await;
    server.rows("UPDATE sessions SET locked_at = now()").await;
    api.report(&json!({ "token": tokens.access })).await.refused_with(404, "invalid_token");
    assert!(reports(&server).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_understood_or_is_too_much_is_refused() {
    let server = Server::usual().await;
    let (client, api) = (server.client("web"), server.client("api"));
    let access = client.tokens(&server.agent(), "openid").await.access;
    let later = (server.clock.now() + TimeDelta::minutes(2)).to_rfc3339();
    for wrong in [
        json!({ "token": null }),
        json!({ "action": null }),
        json!({ "action": "" }),
        json!({ "action": "a".repeat(129) }),
        json!({ "object": "o".repeat(513) }),
        json!({ "outcome": "o".repeat(65) }),
        json!({ "trace_id": "t".repeat(129) }),
        json!({ "object": "two\nlines" }),
        json!({ "object": "nul\u{0}" }),
        json!({ "object": 7 }),
        json!({ "outcom": "done" }),
        json!({ "at": later }),
        json!({ "at": "yesterday" }),
        json!({ "session": "mine" }),
    ] {
        let mut changes = wrong.clone();
        if changes.get("token").is_none() {
            changes["token"] = access.as_str().into();
        }
        api.report(&changes).await.refused("invalid_request");
    }
    let url = server.at("/hub/api/v1/sessions/events");
    let send = async |kind: &str, body: String| {
        let request = server.http().post(&url).header("authorization", basic("api", SECRET));
        Answer::of(request.header("content-type", kind).body(body)).await
    };
    let whole = json!({ "token": access, "action": "a" }).to_string();
    for (kind, body, status) in [
        ("text/plain", whole.clone(), 415),
        ("application/x-www-form-urlencoded", "token=x".to_owned(), 415),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "[]".to_owned(), 400),
        ("application/json", String::new(), 400),
        ("application/json", whole.replace("\"action\"", "\"action\":\"b\",\"action\""), 400),
        ("application/json", format!("{whole}{}", " ".repeat(40 << 10)), 413),
        ("application/json; charset=utf-8", whole, 202),
    ] {
        let answer = send(kind, body).await;
        assert_eq!(answer.status, status, "{kind}: {answer:?}");
        if status != 202 {
            assert_eq!(answer.json()["error"], "invalid_request");
        }
    }
    let get = Answer::of(server.http().get(&url)).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(reports(&server).await.len(), 1);

    // The bucket is full, and says when to come again.
    let full = server.clock.now() + TimeDelta::milliseconds(20_600);
    server.rows(&format!("UPDATE throttles SET empty_at = '{full}'")).await;
    let full = api.report(&json!({ "token": access })).await;
    assert_eq!((full.status, full.header("retry-after")), (429, "1"), "{full:?}");
    assert_eq!(reports(&server).await.len(), 1, "what is refused is not kept");
    server.advance(TimeDelta::seconds(1)).await;
    assert_eq!(api.report(&json!({ "token": access })).await.status, 202);
    assert_eq!(client.report(&json!({ "token": access })).await.status, 202, "each has a bucket of its own");
}

/// One look-up and one insert, the counting included.
#[tokio::test]
async fn a_report_is_cheap() {
    let server = Server::start(Settings::default().connections(1)).await;
    let (client, api) = (server.client("web"), server.client("api"));
    let access = client.tokens(&server.agent(), "openid").await.access;
    let report = json!({ "token": access });
    assert_eq!(api.report(&report).await.status, 202);
    let before = server.app.db.statements();
    assert_eq!(api.report(&report).await.status, 202);
    assert_eq!(server.app.db.statements() - before, 2);
    // Many at once are all told, and all counted.
    let many = (0..40).map(async |_| assert_eq!(api.report(&report).await.status, 202));
    futures_util::future::join_all(many).await;
    assert_eq!(reports(&server).await.len(), 42);
}
