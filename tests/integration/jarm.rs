//! Answers as JWTs (JWT Secured Authorization Response Mode).

use mooring::jose::from_base64url;
use serde_json::Value;

use crate::support::{
    ALICE, Answer, Server,
    agent::{Agent, Page},
    client::Code,
    declared::REDIRECT_URI,
    token,
};

/// Alice, signed in and having consented to `client`.
async fn signed_in(server: &Server, client: &str) -> Agent {
    let agent = server.agent();
    server.client(client).code(&agent, "openid").await;
    agent
}

/// The only parameter of an answer in the query.
#[track_caller]
fn response(page: &Page) -> String {
    let answer = page.answer();
    // RFC 9207 §2.4: no iss beside it; JARM §2.3: nothing beside it.
    assert_eq!(answer.len(), 1, "{answer:?}");
    answer["response"].clone()
}

#[tokio::test]
async fn an_answer_is_one_signed_parameter() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server, "web").await;
    for mode in ["jwt", "query.jwt"] {
        let request = client.request("openid").with("response_mode", mode);
        let jwt = token::verify(&server, &response(&agent.step(&request.url()).await)).await;
        let claims = jwt.claims;
        assert_eq!(jwt.header.alg, jsonwebtoken::Algorithm::RS256, "the default");
        assert_eq!((claims["aud"].as_str(), claims["state"].as_str()), (Some("web"), Some("the state")));
        let lifetime = claims["exp"].as_i64().unwrap() - server.clock.now().timestamp();
        assert!((60..=600).contains(&lifetime), "{claims}");
        assert!(claims.get("sub").is_none(), "no ID token: {claims}");
        let code = claims["code"].as_str().unwrap().to_owned();
        client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    }
    let request = client.request("openid").with("response_mode", "form_post.jwt");
    let page = agent.open(&request.url()).await;
    let form = &page.forms()[0];
    assert_eq!((form.action.as_str(), form.fields.len()), (REDIRECT_URI, 1), "{form:?}");
    let claims = token::verify(&server, form.field("response").unwrap()).await.claims;
    let code = claims["code"].as_str().unwrap().to_owned();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
}

#[tokio::test]
async fn errors_travel_the_same_way() {
    let server = Server::usual().await;
    let client = server.client("web");
    let stranger = server.agent();
    for (request, error) in [
        (client.request("openid").with("prompt", "none"), "login_required"),
        (client.request("openid").with("scope", "unheard-of"), "invalid_scope"),
        (client.request("openid").with("request", "a.b.c"), "invalid_request_object"),
    ] {
        let page = stranger.step(&request.with("response_mode", "jwt").url()).await;
        let claims = token::verify(&server, &response(&page)).await.claims;
        assert_eq!((claims["error"].as_str(), claims["state"].as_str()), (Some(error), Some("the state")), "{claims}");
        assert!(claims["error_description"].is_string());
    }
    // A refusal by the person, after pages.
    let page = stranger.open(&client.request("openid").with("response_mode", "query.jwt").url()).await;
    let consent = stranger.sign_in(&page, ALICE, crate::support::PASSWORD).await;
    let page = stranger.decide(&consent, "deny").await;
    assert_eq!(token::verify(&server, &response(&page)).await.claims["error"], "access_denied");
    // Nothing in a fragment, signed or not; and an unknown mode is told plainly.
    for mode in ["fragment.jwt", "JWT", "jwt.query"] {
        let page = stranger.step(&client.request("openid").with("response_mode", mode).url()).await;
        assert_eq!(page.error(), "invalid_request", "{mode}");
    }
}

const SIGNERS: &str = r#"
[[client]]
client_id = "es"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
scope = "openid"
authorization_signed_response_alg = "ES256"

[[client]]
client_id = "ed"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
scope = "openid"
authorization_signed_response_alg = "EdDSA"
"#;

#[tokio::test]
async fn it_is_signed_as_the_client_is_registered() {
    let server = Server::start(crate::support::Settings::default().declare(SIGNERS)).await;
    for (id, alg) in [("es", "ES256"), ("ed", "EdDSA")] {
        let request = server.client(id).request("openid").with("response_mode", "jwt").with("prompt", "none");
        let jwt = response(&server.agent().step(&request.url()).await);
        let header = from_base64url(jwt.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["alg"], alg);
        token::verify(&server, &jwt).await;
    }
    let document = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    assert_eq!(
        document["response_modes_supported"],
        serde_json::json!(["query", "form_post", "jwt", "query.jwt", "form_post.jwt"])
    );
    assert_eq!(document["authorization_signing_alg_values_supported"], serde_json::json!(["RS256", "ES256", "EdDSA"]));
}

/// An answer is signed by the keys that sign ID tokens: it must pass for none.
#[tokio::test]
async fn an_answer_is_no_other_token() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server, "web").await;
    let jwt = response(&agent.step(&client.request("openid").with("response_mode", "jwt").url()).await);
    let hinted = client.request("openid").with("prompt", "none").with("id_token_hint", &jwt);
    assert_eq!(agent.step(&hinted.url()).await.error(), "invalid_request");
    client.userinfo(&jwt).await.token_refused();
    assert!(!client.is_active(&jwt).await);
    // At sign-out it ends nothing: the person is asked first.
    let page = agent.open(&format!("{}?id_token_hint={jwt}", server.endpoint("end_session_endpoint"))).await;
    assert!(page.offers("sign-out") || page.status == 400, "{}", page.body);
    agent.step(&client.request("openid").url()).await.code();
}
