//! Secrets as clients send them: in the header or the body, form-encoded or plain, and twice where the first try failed.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, Client, Method, Server, Settings,
    client::Code,
    declared::{REDIRECT_URI, RESOURCE, SECRET},
};

/// A secret that reads otherwise once it is form-decoded, and one that cannot be decoded at all.
const ODD_SECRET: &str = "a+secret%20of:the+tests/with=more%2Bof+them";
const UNDECODABLE: &str = "100% of:the+secret of a client that says so";

/// A client that names no method, as an operator writes it.
fn silent(id: &str, secret: &str) -> String {
    format!(
        "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid profile ships:read\"\n\
         introspection = \"any\"\n"
    )
}

async fn server() -> Server {
    let settings = Settings::default()
        .declare(&silent("silent", SECRET))
        .declare(&silent("odd", ODD_SECRET))
        .declare(&silent("undecodable", UNDECODABLE))
        .declare(&silent(RESOURCE, ODD_SECRET))
        .declare(&silent("urn:with:colons", SECRET))
        .declare(&silent("plus+and%41", SECRET));
    Server::start(settings).await
}

fn named<'s>(server: &'s Server, id: &str, method: Method) -> Client<'s> {
    Client { server, id: id.to_owned(), method, redirect_uri: REDIRECT_URI.to_owned() }
}

/// What curl and many libraries send: nothing is form-encoded.
fn plain(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn with_header(server: &Server, authorization: &str, endpoint: &str, form: &[(&str, &str)]) -> Answer {
    let request = server.http().post(server.endpoint(endpoint)).header("authorization", authorization);
    Answer::of(request.form(&form)).await
}

async fn refresh_with(server: &Server, authorization: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", "nobody's")];
    with_header(server, authorization, "token_endpoint", &form).await
}

#[tokio::test]
async fn a_secret_counts_either_way_where_no_method_is_named() {
    let server = server().await;
    for method in [Method::Basic(SECRET.into()), Method::Post(SECRET.into())] {
        let client = named(&server, "silent", method);
        let pushed = client.pushed(&client.request("openid")).await;
        let code = server.agent().walk(&pushed.url(), ALICE).await.code();
        let tokens = client.redeem(&Code { code, verifier: pushed.verifier }).await.tokens();
        assert!(client.is_active(&tokens.access).await);
        let body_brings_id = matches!(client.method, Method::Post(_));
        let report = client.report(&json!({ "token": tokens.access })).await;
        assert_eq!(report.status, 202, "{body_brings_id} {report:?}");
        client.revoke(&tokens.access).await.ok();
        assert!(!client.is_active(&tokens.access).await);
    }
    // It counts no more than before: another secret, or none, does not.
    for wrong in
        [Method::None, Method::Post("not-the-secret-of-this-client-at-all".into()), Method::Basic(String::new())]
    {
        named(&server, "silent", wrong).refresh("nobody's").await.refused("invalid_client");
    }
}

#[tokio::test]
async fn a_client_that_registers_without_a_method_has_both() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let metadata = json!({ "redirect_uris": [REDIRECT_URI], "grant_types": ["authorization_code", "refresh_token"] });
    let answer = Answer::of(server.http().post(server.endpoint("registration_endpoint")).json(&metadata)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let registered = answer.json();
    // RFC 7591 §3.2.1: the default stands in the answer.
    assert_eq!(registered["token_endpoint_auth_method"], "client_secret_basic");
    let text = |member: &str| registered[member].as_str().unwrap().to_owned();
    for method in [Method::Basic(text("client_secret")), Method::Post(text("client_secret"))] {
        named(&server, &text("client_id"), method).refresh("nobody's").await.refused("invalid_grant");
    }
    // One that names its method has that one.
    let mut said: Value = metadata.clone();
    said["token_endpoint_auth_method"] = json!("client_secret_basic");
    let answer = Answer::of(server.http().post(server.endpoint("registration_endpoint")).json(&said)).await.json();
    let (id, secret) = (answer["client_id"].as_str().unwrap(), answer["client_secret"].as_str().unwrap());
    let posted = named(&server, id, Method::Post(secret.into()));
    posted.revoke("anything").await.refused("invalid_client");
}

#[tokio::test]
async fn an_empty_password_of_a_public_client_is_none() {
    let server = Server::usual().await;
    let spa = server.client("spa").by(Method::Basic(String::new()));
    let tokens = spa.tokens(&server.agent(), "openid").await;
    let tokens = spa.refresh(&tokens.refresh).await.tokens();
    spa.revoke(&tokens.access).await.ok();
    // It proves nothing: what a public client may not do, it may not do this way either.
    spa.introspect(&tokens.access).await.refused("invalid_client");
    spa.by(Method::Basic(SECRET.into())).refresh("x").await.refused("invalid_client");
    server.client("web").by(Method::Basic(String::new())).refresh("x").await.refused("invalid_client");
}

#[tokio::test]
async fn the_right_secret_by_the_wrong_method_is_no_attack() {
    let server = Server::usual().await;
    let post = server.client("post").by(Method::Basic(SECRET.into()));
    for _ in 0..20 {
        let answer = post.revoke("anything").await;
        answer.refused("invalid_client");
        assert!(answer.text.contains("registered to authenticate by client_secret_post"), "{answer:?}");
    }
    assert_eq!(server.events("client.authentication", "refused").await, 0);
    server.client("post").refresh("x").await.refused("invalid_grant");
    // A wrong secret by the wrong method is one.
    let guess = server.client("post").by(Method::Basic("a-guess-at-the-secret-of-this-client".into()));
    for _ in 0..14 {
        guess.revoke("anything").await;
    }
    assert_eq!(guess.revoke("anything").await.status, 429);
    assert_eq!(server.events("client.authentication", "refused").await, 10);
}

/// Go's oauth2 and others try the header, and after any refusal the body; what they report is the second answer.
#[tokio::test]
async fn a_second_try_does_not_hide_what_was_wrong() {
    let server = server().await;
    let agent = server.agent();
    for id in ["web", "post", "silent"] {
        let tries = [Method::Basic(SECRET.into()), Method::Post(SECRET.into())].map(|it| named(&server, id, it));
        let good = tries[0].code(&agent, "openid").await;
        let verifier = "a-verifier-of-something-else-entirely-0123456789".to_owned();
        for client in &tries {
            client.redeem(&Code { verifier: verifier.clone(), ..good.clone() }).await.refused("invalid_grant");
            client.redeem(&Code { code: "mo_ac_nothing".into(), ..good.clone() }).await.refused("invalid_grant");
            client.refresh("nobody's").await.refused("invalid_grant");
        }
        // None of that used the code up. What is right goes through by one of the two, and only once.
        let answers = [tries[0].redeem(&good).await, tries[1].redeem(&good).await];
        let redeemed = answers.iter().position(|answer| answer.status == 200).expect("one of the tries");
        match (id, redeemed) {
            ("post", _) => {
                answers[0].refused("invalid_client");
                assert_eq!(redeemed, 1);
            }
            _ => {
                answers[1].refused("invalid_grant");
            }
        }
    }
    assert_eq!(server.events("client.authentication", "refused").await, 0);
}

#[tokio::test]
async fn plain_credentials_in_the_header_are_read_too() {
    let server = server().await;
    for (id, secret) in [
        ("odd", ODD_SECRET),
        ("undecodable", UNDECODABLE),
        (RESOURCE, ODD_SECRET),
        ("urn:with:colons", SECRET),
        ("plus+and%41", SECRET),
    ] {
        refresh_with(&server, &plain(id, secret)).await.refused("invalid_grant");
        named(&server, id, Method::Basic(secret.into())).refresh("nobody's").await.refused("invalid_grant");
        // At every endpoint.
        for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
            with_header(&server, &plain(id, secret), endpoint, &[("token", "anything")]).await.ok();
        }
        let request = named(&server, id, Method::None).request("openid");
        let form: Vec<_> = request.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let pushed = with_header(&server, &plain(id, secret), "pushed_authorization_request_endpoint", &form).await;
        assert_eq!(pushed.status, 201, "{id}: {pushed:?}");
        // A name beside it chooses among the readings, and cannot be another's.
        let form = [("grant_type", "refresh_token"), ("refresh_token", "nobody's")];
        let beside = |name| [form[0], form[1], ("client_id", name)];
        with_header(&server, &plain(id, secret), "token_endpoint", &beside(id)).await.refused("invalid_grant");
        with_header(&server, &plain(id, secret), "token_endpoint", &beside("web")).await.refused("invalid_request");
    }
    assert_eq!(server.events("client.authentication", "refused").await, 0);
}

/// Several readings are not several guesses: each header counts as one, against one client.
#[tokio::test]
async fn guesses_are_throttled_in_every_reading() {
    let server = server().await;
    for (id, guess) in
        [("odd", "a+guess%20at:the:secret"), ("urn:with:colons", "a-guess"), ("nobody:here", "a%2Bguess")]
    {
        for _ in 0..10 {
            refresh_with(&server, &plain(id, guess)).await.refused("invalid_client");
        }
        assert_eq!(refresh_with(&server, &plain(id, guess)).await.status, 429, "{id}");
    }
    let refused = "SELECT string_agg(DISTINCT client_id, ' ') FROM audit_events WHERE action = 'client.authentication'";
    let refused = server.value(refused).await;
    assert!(refused.contains("odd") && refused.contains("urn:with:colons"), "{refused}");
}
