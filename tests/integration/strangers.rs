//! What clients that registered themselves tried, and what it came to. Each of these worked once.

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::support::{ALICE, Answer, Client, Method, Server, Settings};

const EVIL: &str = "https://evil.example/cb";
const VICTIM: &str = "https://victim.example/cb";

fn open() -> Settings {
    Settings::default().set("registration.policy", "open").set("outbound.allow", "127.0.0.1/32")
}

/// Registers a client at `redirect_uri`, with `more`; what it was answered.
async fn register(server: &Server, redirect_uri: &str, more: &Value) -> Answer {
    let mut metadata =
        json!({ "redirect_uris": [redirect_uri], "grant_types": ["authorization_code", "refresh_token"] });
    for (name, value) in more.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    Answer::of(server.http().post(server.endpoint("registration_endpoint")).json(&metadata)).await
}

async fn registered(server: &Server, redirect_uri: &str, more: &Value) -> Value {
    let answer = register(server, redirect_uri, more).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn client<'s>(server: &'s Server, registered: &Value) -> Client<'s> {
    let text = |member: &Value| member.as_str().unwrap().to_owned();
    Client {
        server,
        id: text(&registered["client_id"]),
        method: Method::Basic(text(&registered["client_secret"])),
        redirect_uri: text(&registered["redirect_uris"][0]),
    }
}

/// The answers go to the owner of the redirect URI; so does what is told of the end of the session.
#[tokio::test]
async fn the_names_of_a_sector_are_told_to_its_hosts_only() {
    let server = Server::start(open()).await;
    let asked = |subject_type: &str, uri: &str| json!({ "subject_type": subject_type, "backchannel_logout_uri": uri });
    let elsewhere = register(&server, VICTIM, &asked("pairwise", "https://evil.example/out")).await;
    elsewhere.refused("invalid_client_metadata");
    for fine in [asked("pairwise", "https://victim.example:8443/out"), asked("public", "https://evil.example/out")] {
        registered(&server, VICTIM, &fine).await;
    }
}

/// A visitor's cookie is had for nothing: it does not open the way to fetch without end.
#[tokio::test]
async fn request_objects_fetched_for_visitors_are_counted() {
    let home = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("x")).mount(&home).await;
    let server = Server::start(open().set("request_objects.by_reference", "true")).await;
    let place = format!("{}/object", home.uri());
    let evil = client(&server, &registered(&server, EVIL, &json!({ "request_uris": [place] })).await);
    let agent = server.agent();
    agent.open(&evil.request("openid").url()).await;
    assert!(!agent.cookies().is_empty());
    let asked = evil.request("openid").with("request_uri", &place);
    let counted = async || server.value("SELECT string_agg(empty_at::text, ' ' ORDER BY key) FROM throttles").await;
    for _ in 0..3 {
        let before = counted().await;
        agent.step(&asked.url()).await;
        assert_ne!(counted().await, before);
    }
}

/// A client that anybody may be has no more room for requests than a stranger, and what nobody comes for goes at once.
#[tokio::test]
async fn pushed_requests_of_strangers_are_few_and_short_lived() {
    let server = Server::start(open()).await;
    let evil = client(&server, &registered(&server, EVIL, &json!({})).await);
    let buckets = async || server.rows("SELECT key::text FROM throttles ORDER BY 1").await;
    evil.push(&evil.request("openid")).await;
    let of_stranger = buckets().await;
    // The same bucket as that of a browser without a cookie.
    server.agent().open(&evil.request("openid").url()).await;
    assert_eq!(buckets().await, of_stranger);

    let agent = server.agent();
    let taken = evil.pushed(&evil.request("openid")).await;
    agent.open(&taken.url()).await;
    let waiting =
        async || server.value("SELECT count(*) FROM authorization_requests WHERE pushed_at IS NOT NULL").await;
    assert_eq!(waiting().await, "2");
    server.advance(chrono::TimeDelta::seconds(91)).await;
    server.work(async |tx| mooring::db::authorization_requests::sweep(tx, 100).await).await;
    assert_eq!(waiting().await, "1");
    agent.walk(&taken.url(), ALICE).await.code();
}
