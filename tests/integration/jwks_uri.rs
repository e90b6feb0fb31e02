//! Clients whose keys are fetched from their `jwks_uri`: how often, from where, and what is not read.

use std::time::Duration;

use mooring::jose::{Algorithm, CLIENT_ASSERTION_TYPE, SigningKey, base64url, random_bytes};
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{Answer, Client, Method, Server, Settings};

fn key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap().0
}

fn set(keys: &[&SigningKey]) -> ResponseTemplate {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
}

/// A server with a client whose keys are at `path` of `home`.
async fn server(home: &MockServer, path: &str, settings: Settings) -> Server {
    let client = format!(
        "[[client]]\nclient_id = \"remote\"\njwks_uri = \"{}{path}\"\ngrant_types = [\"client_credentials\"]\n\
         token_endpoint_auth_method = \"private_key_jwt\"\nscope = \"ships:read\"\n",
        home.uri()
    );
    Server::start(settings.declare(&client)).await
}

fn allowing() -> Settings {
    Settings::default().set("outbound.allow", "127.0.0.1/32")
}

/// Asks for a token with an assertion that `key` signed.
async fn ask(server: &Server, key: &SigningKey) -> Answer {
    let client = Client::declared(server, "remote").by(Method::None);
    let now = server.clock.now().timestamp();
    let claims = json!({
        "iss": "remote", "sub": "remote", "aud": server.issuer, "jti": base64url(&random_bytes::<16>()),
        "iat": now, "exp": now + 60,
    });
    let assertion = key.sign("JWT", &claims).unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", CLIENT_ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    client.token(&form).await
}

async fn fetched(home: &MockServer) -> usize {
    home.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn keys_are_fetched_once_for_many() {
    let (home, own) = (MockServer::start().await, key());
    Mock::given(path("/jwks")).respond_with(set(&[&own]).set_delay(Duration::from_millis(100))).mount(&home).await;
    let server = server(&home, "/jwks", allowing()).await;
    let (one, other, third) = tokio::join!(ask(&server, &own), ask(&server, &own), ask(&server, &own));
    for answer in [one, other, third] {
        answer.tokens();
    }
    ask(&server, &own).await.tokens();
    assert_eq!(fetched(&home).await, 1);

    // The key of another is no key of this client, however it is called.
    ask(&server, &key()).await.refused("invalid_client");
    // Nor do assertions make the server ask again and again: once a minute, and this minute's was used.
    for _ in 0..3 {
        ask(&server, &key()).await.refused("invalid_client");
    }
    assert_eq!(fetched(&home).await, 1);
}

#[tokio::test]
#[ignore = "takes more than a minute: the cache goes by a clock of its own"]
async fn a_new_key_of_the_client_is_fetched_when_it_is_used() {
    let (home, old, new) = (MockServer::start().await, key(), key());
    Mock::given(path("/jwks")).respond_with(set(&[&old])).up_to_n_times(1).mount(&home).await;
    Mock::given(path("/jwks")).respond_with(set(&[&new])).mount(&home).await;
    let server = server(&home, "/jwks", allowing()).await;
    ask(&server, &old).await.tokens();
    tokio::time::sleep(Duration::from_secs(61)).await;
    // The one that is known is not fetched for.
    ask(&server, &old).await.tokens();
    assert_eq!(fetched(&home).await, 1);
    ask(&server, &new).await.tokens();
    assert_eq!(fetched(&home).await, 2);
    ask(&server, &old).await.refused("invalid_client");
}

#[tokio::test]
async fn where_it_is_not_allowed_nothing_is_fetched() {
    let (home, own) = (MockServer::start().await, key());
    Mock::given(path("/jwks")).respond_with(set(&[&own])).mount(&home).await;
    let server = server(&home, "/jwks", Settings::default()).await;
    let answer = ask(&server, &own).await;
    answer.refused("invalid_client");
    // Nor does the caller learn what stood in the way.
    assert!(!answer.text.contains("127.0.0.1") && !answer.text.contains("allow"), "{answer:?}");
    assert_eq!(fetched(&home).await, 0, "the server went where it may not");
}

#[tokio::test]
async fn what_is_no_set_of_keys_is_not_read() {
    let (home, own) = (MockServer::start().await, key());
    let keys = json!({ "keys": [own.public_jwk()] });
    let long = json!({ "keys": [own.public_jwk()], "more": "x".repeat(70 << 10) });
    let moved = ResponseTemplate::new(302).insert_header("location", format!("{}/elsewhere", home.uri()));
    Mock::given(path("/elsewhere")).respond_with(set(&[&own])).expect(0).mount(&home).await;
    for (at, answer) in [
        ("/moved", moved),
        ("/long", ResponseTemplate::new(200).set_body_json(long)),
        ("/failed", ResponseTemplate::new(500).set_body_json(&keys)),
        ("/text", ResponseTemplate::new(200).set_body_string("<html>")),
        ("/empty", ResponseTemplate::new(200).set_body_json(json!({}))),
    ] {
        Mock::given(path(at)).respond_with(answer).expect(1).mount(&home).await;
        let server = server(&home, at, allowing()).await;
        for _ in 0..2 {
            // What failed is not tried again at once, either.
            ask(&server, &own).await.refused("invalid_client");
        }
    }
    home.verify().await;
}
