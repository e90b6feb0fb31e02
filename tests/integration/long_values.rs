//! `state` and `nonce` of some KiB, as clients send them that keep there where they were: every way that a request comes, and
//! that an answer goes.

use serde_json::{Value, json};

use crate::support::{
    ALICE, Client, Server,
    agent::{Agent, Page},
    client::{Code, Request},
    declared::CLIENT_KEY,
    token,
};

/// What is still kept, with characters that grow when they are encoded.
fn longest(fill: &str) -> String {
    let text = format!("{{\"from\":\"/{fill}\"}} ä&=+%");
    format!("{text}{}", "x".repeat(8192 - text.len()))
}

/// As a signed request object alone.
fn in_an_object(server: &Server, request: &Request) -> Request {
    let now = server.clock.now().timestamp();
    let mut claims = request.claims();
    for (name, value) in
        [("iss", json!("pkj")), ("aud", json!(server.issuer)), ("exp", json!(now + 60)), ("nbf", json!(now))]
    {
        claims[name] = value;
    }
    let object = CLIENT_KEY.sign("oauth-authz-req+jwt", &claims).unwrap();
    request.only(&[("client_id", "pkj"), ("response_type", "code"), ("scope", "openid"), ("request", &object)])
}

/// The parameters of the answer, whatever carries them.
async fn answer(server: &Server, page: &Page) -> Value {
    let sent = if page.status == 200 {
        let fields = &page.forms()[0].fields;
        fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    } else {
        page.answer().into_iter().map(|(name, value)| (name, json!(value))).collect()
    };
    let sent = Value::Object(sent);
    match sent["response"].as_str() {
        Some(jwt) => token::verify(server, jwt).await.claims,
        None => sent,
    }
}

/// Signed in, so that a request is answered at once.
async fn signed_in(server: &Server, client: &Client<'_>) -> Agent {
    let agent = server.agent();
    client.code(&agent, "openid").await;
    agent
}

#[tokio::test]
async fn they_come_back_by_every_way() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let agent = signed_in(&server, &client).await;
    let (state, nonce) = (longest("state"), longest("nonce"));
    assert_eq!((state.len(), nonce.len()), (8192, 8192));
    let mut last = String::new();
    for mode in ["query", "form_post", "query.jwt", "form_post.jwt"] {
        let usual = client.request("openid").with("state", &state).with("nonce", &nonce).with("response_mode", mode);
        let ways = [usual.clone(), client.pushed(&usual).await, in_an_object(&server, &usual)];
        for (way, request) in ways.iter().enumerate() {
            let answered = answer(&server, &agent.open(&request.url()).await).await;
            assert_eq!(answered["state"].as_str(), Some(state.as_str()), "{mode} {way}");
            let code = answered["code"].as_str().unwrap_or_else(|| panic!("{mode} {way}: {answered}")).to_owned();
            let tokens = client.redeem(&Code { code, verifier: usual.verifier.clone() }).await.tokens();
            assert_eq!(token::claims(&tokens.id)["nonce"].as_str(), Some(nonce.as_str()));
            last = tokens.id;
        }
    }
    // Such an ID token is a hint like any other.
    let hinted = client.request("openid").with("id_token_hint", &last).with("prompt", "none");
    agent.step(&hinted.url()).await.code();
    let url = format!("{}?id_token_hint={last}", server.endpoint("end_session_endpoint"));
    assert!(agent.open(&url).await.body.contains("signed out"));
}

/// While it waits for a person, it is kept in the database.
#[tokio::test]
async fn they_wait_for_a_person() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (state, nonce) = (longest("state"), longest("nonce"));
    let request = client.request("openid").with("state", &state).with("nonce", &nonce);
    let page = server.agent().walk(&request.url(), ALICE).await;
    assert_eq!(page.answer()["state"], state);
    let tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    assert_eq!(token::claims(&tokens.id)["nonce"].as_str(), Some(nonce.as_str()));
}

/// RFC 6749 §4.1.2.1: an error has the state that was sent.
#[tokio::test]
async fn what_is_longer_is_refused_with_its_state() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let agent = server.agent();
    let (state, longer) = (longest("state"), format!("{}y", longest("too long")));
    for mode in ["query", "form_post", "query.jwt", "form_post.jwt"] {
        let usual = client.request("openid").with("response_mode", mode);
        for (request, expected, problem) in [
            (usual.clone().with("state", &longer), &longer, "state is longer than 8192"),
            (usual.clone().with("state", &state).with("nonce", &longer), &state, "nonce is longer than 8192"),
            (usual.clone().with("state", &longer).with("nonce", &longer), &longer, "is longer than 8192"),
            (usual.clone().with("state", &state).with("login_hint", &longer), &state, "login_hint is longer"),
        ] {
            for request in [request.clone(), in_an_object(&server, &request)] {
                let page = agent.open(&request.url()).await;
                let answered = answer(&server, &page).await;
                assert_eq!(answered["error"], "invalid_request", "{mode} {problem}");
                assert_eq!(answered["state"].as_str(), Some(expected.as_str()), "{mode} {problem}");
                assert!(answered["error_description"].as_str().unwrap().contains(problem), "{answered}");
            }
            client.push(&request).await.refused("invalid_request");
        }
    }
    assert_eq!(server.value("SELECT count(*) FROM authorization_requests").await, "0");
}
