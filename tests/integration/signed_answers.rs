//! Answers that are signed for one reader: userinfo (OIDC Core §5.3.2) and introspection (RFC 9701); and that they are
//! good for nothing else.

use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, Client, Method, Server, Settings,
    client::userinfo,
    declared::{REDIRECT_URI, SECRET},
    token,
};

const INTROSPECTION: &str = "application/token-introspection+jwt";

/// A client for each algorithm, by whose name it goes.
fn clients() -> Settings {
    let one = |algorithm: &str| {
        format!(
            "[[client]]\nclient_id = \"{algorithm}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid email ships:read\"\n\
             userinfo_signed_response_alg = \"{algorithm}\"\nintrospection_signed_response_alg = \"{algorithm}\"\n"
        )
    };
    Settings::default().declare(&["RS256", "ES256", "EdDSA"].map(one).concat())
}

async fn introspect(client: &Client<'_>, token: &str, accept: &str) -> Answer {
    let request = client.server.http().post(client.server.endpoint("introspection_endpoint"));
    let authorization = crate::support::client::basic(&client.id, SECRET);
    let request = request.header("authorization", authorization).header("accept", accept);
    Answer::of(request.form(&[("token", token)])).await
}

#[tokio::test]
async fn userinfo_is_signed_for_the_client_that_asked() {
    let server = Server::start(clients()).await;
    let agent = server.agent();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let client = server.client(algorithm);
        let tokens = client.tokens(&agent, "openid email").await;
        let answer = client.userinfo(&tokens.access).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwt"));
        assert_eq!(answer.header("cache-control"), "no-store");
        let jwt = token::verify_signature(&server, &answer.text).await;
        assert_eq!(format!("{:?}", jwt.header.alg), algorithm);
        let expected = json!({
            "iss": server.issuer, "aud": algorithm, "sub": server.user_id(ALICE).await,
            "email": "alice@example.com", "email_verified": true,
        });
        assert_eq!(jwt.claims, expected);
        // A refusal is what it always is.
        client.userinfo("nonsense").await.token_refused();
    }
    let plain = server.client("web").tokens(&agent, "openid email").await;
    server.client("web").userinfo(&plain.access).await.ok();
}

#[tokio::test]
async fn introspection_is_signed_for_whoever_asks_for_it() {
    let server = Server::start(clients()).await;
    let agent = server.agent();
    for algorithm in ["RS256", "ES256", "EdDSA", "web"] {
        let client = server.client(algorithm);
        let tokens = client.tokens(&agent, "openid email").await;
        for token in [&tokens.access, &tokens.refresh] {
            let plain = client.introspect(token).await.ok();
            let answer = introspect(&client, token, INTROSPECTION).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, INTROSPECTION));
            assert_eq!(answer.header("cache-control"), "no-store");
            let jwt = token::verify_signature(&server, &answer.text).await;
            assert_eq!(jwt.header.typ.as_deref(), Some("token-introspection+jwt"));
            // RFC 9701 §6: RS256 where nothing was registered.
            assert_eq!(format!("{:?}", jwt.header.alg), if algorithm == "web" { "RS256" } else { algorithm });
            let now = server.clock.now().timestamp();
            assert!(jwt.claims["iat"].as_i64().is_some_and(|issued| (now - issued).abs() < 10));
            let mut names: Vec<_> = jwt.claims.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, ["aud", "iat", "iss", "token_introspection"]);
            assert_eq!((&jwt.claims["aud"], &jwt.claims["token_introspection"]), (&json!(algorithm), &plain));
        }
    }
    // The same token, to somebody else: for them, and of them only what they may see.
    let tokens = server.client("RS256").tokens(&agent, "openid").await;
    for (id, active) in [("api", true), ("web2", false)] {
        let answer = introspect(&server.client(id), &tokens.access, INTROSPECTION).await;
        let claims = token::verify_signature(&server, &answer.text).await.claims;
        assert_eq!((&claims["aud"], &claims["token_introspection"]["active"]), (&json!(id), &json!(active)));
        assert!(active || claims["token_introspection"] == json!({ "active": false }), "{claims}");
    }
}

#[tokio::test]
async fn it_is_json_unless_a_jwt_is_preferred() {
    let server = Server::start(clients()).await;
    let client = server.client("ES256");
    let tokens = client.tokens(&server.agent(), "openid").await;
    for (accept, is_jwt) in [
        (INTROSPECTION, true),
        ("Application/Token-Introspection+JWT", true),
        ("application/json;q=0.5, application/token-introspection+jwt", true),
        ("*/*, application/token-introspection+jwt", true),
        ("application/token-introspection+jwt;q=0.5, application/json", false),
        ("application/token-introspection+jwt;q=0", false),
        ("application/json", false),
        ("application/jwt", false),
        ("text/token-introspection+jwt", false),
        ("*/*", false),
        ("", false),
        (";;,,=", false),
    ] {
        let answer = introspect(&client, &tokens.access, accept).await;
        let expected = if is_jwt { INTROSPECTION } else { "application/json" };
        assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{accept}");
    }
    // Errors are those of RFC 7662, also here.
    let stranger = client.by(Method::Basic("x".repeat(40)));
    stranger.introspect(&tokens.access).await.refused("invalid_client");
    let request = server.http().post(server.endpoint("introspection_endpoint")).header("accept", INTROSPECTION);
    Answer::of(request.form(&[("token", &tokens.access)])).await.refused("invalid_client");
}

/// RFC 8725 §2.8: what was signed for one purpose is of no use for another.
#[tokio::test]
async fn a_signed_answer_is_no_token() {
    let server = Server::start(clients()).await;
    let client = server.client("EdDSA");
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid email").await;
    let told = client.userinfo(&tokens.access).await.text;
    let introspected = introspect(&client, &tokens.access, INTROSPECTION).await.text;
    let silent = client.request("openid").with("prompt", "none");
    agent.step(&silent.clone().with("id_token_hint", &tokens.id).url()).await.code();
    for answer in [&told, &introspected] {
        userinfo(&server, answer).await.token_refused();
        assert!(!client.is_active(answer).await);
        client.refresh(answer).await.refused("invalid_grant");
        let hinted = silent.clone().with("id_token_hint", answer);
        assert_eq!(agent.step(&hinted.url()).await.error(), "invalid_request");
        // As a hint at sign-out it ends nothing unasked.
        let url = format!("{}?id_token_hint={answer}", server.endpoint("end_session_endpoint"));
        agent.open(&url).await;
        assert!(client.is_active(&tokens.access).await);
    }
}

#[tokio::test]
async fn what_answers_are_signed_with_is_announced() {
    let server = Server::usual().await;
    let url = server.at("/.well-known/openid-configuration");
    let document: Value = server.http().get(url).send().await.unwrap().json().await.unwrap();
    for answer in ["userinfo", "introspection", "id_token"] {
        let name = format!("{answer}_signing_alg_values_supported");
        assert_eq!(document[&name], json!(["RS256", "ES256", "EdDSA"]), "{name}");
    }
}
