//! Pushed authorization requests (RFC 9126): said to the server first, brought by one browser, once.

use chrono::TimeDelta;
use futures_util::future::join_all;
use mooring::jose::{base64url, from_base64url};
use serde_json::json;

use crate::support::{
    ALICE, Answer, BOB, Client, Method, PASSWORD, Server, Settings,
    client::{Code, Request},
    declared::{REDIRECT_URI, SECRET, WEB_REDIRECT_URI},
    page::hidden_code,
    token,
};

const URN: &str = "urn:ietf:params:oauth:request_uri:";

/// A client that pushes all it asks for.
const PUSHER: &str = r#"
[[client]]
client_id = "pusher"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
scope = "openid profile"
require_pushed_authorization_requests = true
"#;

fn parameter(request: &Request, name: &str) -> String {
    request.parameters.iter().find(|(other, _)| other == name).expect("the parameter").1.clone()
}

#[tokio::test]
async fn a_pushed_request_leads_to_a_code_for_every_kind_of_client() {
    let server = Server::usual().await;
    for id in ["web", "post", "pkj", "spa"] {
        let client = server.client(id);
        let request = client.request("openid email");
        let answer = client.push(&request).await;
        // §2.2.
        assert_eq!((answer.status, answer.header("cache-control")), (201, "no-store"), "{answer:?}");
        let body = answer.json();
        let expires_in = body["expires_in"].as_i64().unwrap();
        assert!((60..=90).contains(&expires_in), "{body}");
        let request_uri = body["request_uri"].as_str().unwrap();
        assert!(request_uri.starts_with(URN) && request_uri.len() > URN.len() + 43, "256 bits: {request_uri}");
        assert_eq!(body.as_object().unwrap().len(), 2);

        let brought = request.only(&[("client_id", id), ("request_uri", request_uri)]);
        let page = server.agent().walk(&brought.url(), ALICE).await;
        let answered = page.answer();
        assert_eq!((answered["state"].as_str(), answered["iss"].as_str()), ("the state", server.issuer.as_str()));
        let code = Code { code: page.code(), verifier: request.verifier };
        let claims = token::claims(&client.redeem(&code).await.tokens().id);
        assert_eq!((claims["nonce"].as_str(), claims["aud"].as_str()), (Some("the-nonce"), Some(id)));
    }
}

#[tokio::test]
async fn discovery_says_so() {
    let server = Server::usual().await;
    assert_eq!(server.endpoint("pushed_authorization_request_endpoint"), server.at("/oauth/par"));
    let document = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    assert_eq!(document["require_pushed_authorization_requests"], false);
}

/// Reloads, the back button and a second tab go on; nobody else does.
#[tokio::test]
async fn one_browser_brings_it_and_may_do_so_again() {
    let server = Server::usual().await;
    let client = server.client("web");
    let request = client.request("openid");
    let brought = client.pushed(&request).await.url();
    let agent = server.agent();
    assert!(agent.open(&brought).await.asks_for_password());
    // A person takes longer than the 90 seconds in which a browser has to come.
    server.advance(TimeDelta::minutes(10)).await;
    let page = agent.open(&brought).await;
    assert!(page.asks_for_password(), "a reload goes on: {}", page.body);
    server.agent().open(&brought).await.is_error_page(400);

    let consent = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert!(agent.open(&brought).await.offers("allow"), "so does one after the sign-in");
    let code = agent.decide(&consent, "allow").await.code();
    // The same code while it is unused, and none at all afterwards.
    assert_eq!(agent.open(&brought).await.code(), code);
    client.redeem(&Code { code, verifier: request.verifier.clone() }).await.tokens();
    let after = agent.open(&brought).await;
    assert!(after.location().is_none() && after.body.contains("complete"), "{} {}", after.status, after.body);
    assert_eq!(server.value("SELECT count(*) FROM grants").await, "1");

    // Not for another browser, whoever is signed in there, nor for this one as somebody else.
    let other = server.agent();
    client.code_for(&other, BOB, "openid").await;
    other.open(&brought).await.is_error_page(400);
    let page = agent.open(&client.request("openid").with("prompt", "login").url()).await;
    agent.sign_in(&page, BOB, PASSWORD).await;
    agent.open(&brought).await.is_error_page(400);
}

#[tokio::test]
async fn of_two_browsers_at_once_one_goes_on() {
    let server = Server::usual().await;
    let client = server.client("web");
    for round in 0..5 {
        let brought = client.pushed(&client.request("openid")).await.url();
        let agents: Vec<_> = (0..4).map(|_| server.agent()).collect();
        let pages = join_all(agents.iter().map(|agent| agent.open(&brought))).await;
        let went_on = pages.iter().filter(|page| page.asks_for_password()).count();
        assert_eq!(went_on, 1, "round {round}");
    }
}

#[tokio::test]
async fn it_is_for_its_client_its_time_and_as_it_was_given() {
    let server = Server::usual().await;
    let (web, web2) = (server.client("web"), server.client("web2"));
    let agent = server.agent();
    let brought = web.pushed(&web.request("openid")).await;
    let uri = parameter(&brought, "request_uri");

    // Another client cannot have it; asking does not use it up.
    let page = agent.open(&brought.clone().with("client_id", "web2").url()).await;
    assert!(page.is_error_page(400).body.contains("invalid_request_uri"), "{}", page.body);
    // Told to the relying party where it says a place of its own.
    let told = brought.clone().with("client_id", "web2").with("redirect_uri", REDIRECT_URI).with("state", "mine");
    let answer = agent.step(&told.url()).await.answer();
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("invalid_request_uri", "mine"));
    agent.open(&brought.clone().without("client_id").url()).await.is_error_page(400);

    // What it names cannot be guessed from what it names.
    let octets = from_base64url(uri.strip_prefix(URN).unwrap()).unwrap();
    let id = uuid::Uuid::from_slice(&octets[..16]).unwrap();
    agent.open(&server.at(&format!("/oauth/authorize/{id}"))).await.is_error_page(400);
    for page in ["login", "consent", "select-account"] {
        agent.open(&server.at(&format!("/{page}?request={id}"))).await.is_error_page(400);
    }
    let mut forged = octets.clone();
    forged[20] ^= 1;
    for wrong in [
        format!("{URN}{}", base64url(&forged)),
        format!("{URN}{}", base64url(&octets[..16])),
        format!("{URN}{id}"),
        URN.to_owned(),
        uri.to_uppercase(),
        format!("{uri}#x"),
    ] {
        let page = agent.open(&brought.clone().with("request_uri", &wrong).url()).await;
        page.is_error_page(400);
    }
    let twice = brought.clone().repeat("request_uri", &uri);
    agent.open(&twice.url()).await.is_error_page(400);
    let both = brought.clone().with("request", "a.b.c");
    agent.open(&both.url()).await.is_error_page(400);

    // All that left it as it was.
    assert!(agent.open(&brought.url()).await.asks_for_password());

    // One that no browser brought in time is good for nothing.
    let late = web2.pushed(&web2.request("openid")).await;
    server.advance(TimeDelta::seconds(91)).await;
    agent.open(&late.url()).await.is_error_page(400);
}

/// RFC 9126 §4, RFC 9101 §6.3: what stands in the browser's address does not count.
#[tokio::test]
async fn nothing_beside_the_request_uri_changes_the_request() {
    let server = Server::usual().await;
    let client = server.client("web");
    let request = client.request("openid");
    let mut brought = client.pushed(&request).await;
    for (name, value) in [
        ("redirect_uri", WEB_REDIRECT_URI),
        ("scope", "openid email phone offline_access"),
        ("state", "another"),
        ("nonce", "another"),
        ("response_mode", "form_post"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("prompt", "none"),
    ] {
        brought = brought.with(name, value);
    }
    let page = server.agent().walk(&brought.url(), ALICE).await;
    assert!(page.header("location").starts_with(REDIRECT_URI), "{:?}", page.headers);
    assert_eq!(page.answer()["state"], "the state");
    let tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    assert_eq!(tokens.all["scope"], "openid");
    assert_eq!(token::claims(&tokens.id)["nonce"], "the-nonce");
}

/// §2.3: what is wrong with a request is said at once, to the client, and nothing is stored.
#[tokio::test]
async fn what_is_wrong_is_said_when_it_is_pushed() {
    let server = Server::usual().await;
    let web = server.client("web");
    let usual = web.request("openid");
    for (request, error) in [
        (usual.clone().with("redirect_uri", "https://evil.example/"), "invalid_request"),
        (usual.clone().without("redirect_uri"), "invalid_request"),
        (usual.clone().without("response_type"), "invalid_request"),
        (usual.clone().with("response_type", "token"), "unsupported_response_type"),
        (usual.clone().with("response_mode", "fragment"), "invalid_request"),
        (usual.clone().without("code_challenge").without("code_challenge_method"), "invalid_request"),
        (usual.clone().with("prompt", "none login"), "invalid_request"),
        (usual.clone().with("claims", "[]"), "invalid_request"),
        (usual.clone().with("max_age", "soon"), "invalid_request"),
        (usual.clone().with("request_uri", "https://rp.example/request"), "invalid_request"),
        (usual.clone().with("request_uri", "urn:ietf:params:oauth:request_uri:x"), "invalid_request"),
        (usual.clone().with("request", "a.b.c"), "invalid_request_object"),
        (usual.clone().with("client_id", "web2"), "invalid_request"),
        (usual.clone().repeat("scope", "openid"), "invalid_request"),
        (usual.clone().with("state", &"x".repeat(9000)), "invalid_request"),
    ] {
        let answer = web.push(&request).await;
        answer.refused(error);
        assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    }
    let coder = Client { id: "machine".into(), ..web.clone() };
    coder.push(&coder.request("openid")).await.refused("invalid_request");
    let wrong = web.by(Method::Basic("not-the-secret-of-this-client-at-all".into()));
    wrong.push(&usual).await.refused("invalid_client");
    web.by(Method::None).push(&usual).await.refused("invalid_client");
    let spa = server.client("spa").by(Method::Basic(SECRET.into()));
    spa.push(&spa.request("openid")).await.refused("invalid_client");
    let nobody = Client { id: "nobody".into(), ..web.clone() };
    nobody.push(&nobody.request("openid")).await.refused("invalid_client");

    let url = server.endpoint("pushed_authorization_request_endpoint");
    let json = server.http().post(&url).json(&usual.claims());
    assert_eq!(Answer::of(json).await.status, 415);
    let huge = server.http().post(&url).form(&[("state", "x".repeat(200_000))]);
    assert_eq!(Answer::of(huge).await.status, 413);
    let get = Answer::of(server.http().get(&url)).await;
    assert_eq!(get.status, 405);
    assert!(get.header("allow").contains("POST"), "{get:?}");
    assert_eq!(server.value("SELECT count(*) FROM authorization_requests").await, "0");
}

/// An assertion is for the issuer (draft-ietf-oauth-rfc7523bis §4), and is good once. Who authenticates need not be named
/// beside it.
#[tokio::test]
async fn a_client_authenticates_as_at_the_token_endpoint() {
    let server = Server::usual().await;
    let pkj = server.client("pkj");
    let url = server.endpoint("pushed_authorization_request_endpoint");
    let push = async |assertion: &str| {
        let mut form = pkj.request("openid").without("client_id").parameters;
        form.push(("client_assertion_type".to_owned(), mooring::jose::CLIENT_ASSERTION_TYPE.to_owned()));
        form.push(("client_assertion".to_owned(), assertion.to_owned()));
        Answer::of(server.http().post(&url).form(&form)).await
    };
    let assertion = pkj.assertion(&json!({ "aud": server.issuer }));
    let answer = push(&assertion).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    push(&assertion).await.refused("invalid_client");
    for audience in [url.clone(), server.endpoint("token_endpoint"), "https://op.example/oauth/par".to_owned()] {
        push(&pkj.assertion(&json!({ "aud": audience }))).await.refused("invalid_client");
    }
    let web = server.client("web");
    let request = web.request("openid");
    let answer = web.push(&request.clone().without("client_id")).await;
    let request_uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    let brought = request.only(&[("client_id", "web"), ("request_uri", &request_uri)]);
    let code = server.agent().walk(&brought.url(), ALICE).await.code();
    web.redeem(&Code { code, verifier: request.verifier }).await.tokens();
}

/// An anonymous visitor is remembered by the browser that brings the request, and answered without a page.
#[tokio::test]
async fn a_visitor_may_be_asked_for() {
    let shop = PUSHER.replace("\"pusher\"", "\"shop\"") + "visitors = true\n";
    let server = Server::start(Settings::default().declare(&shop)).await;
    let client = server.client("shop");
    let request = client.request("openid").with("acr_values", "urn:mooring:acr:visitor");
    let brought = client.pushed(&request).await;
    let agent = server.agent();
    let code = agent.step(&brought.url()).await.code();
    assert!(!agent.cookie().value.is_empty());
    assert_eq!(agent.step(&brought.url()).await.code(), code);
    server.agent().open(&brought.url()).await.is_error_page(400);
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(token::claims(&tokens.id)["acr"], "urn:mooring:acr:visitor");
}

/// What the client may do is judged again when the browser comes.
#[tokio::test]
async fn a_client_that_was_disabled_meanwhile_gets_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    client.code(&agent, "openid").await;
    let brought = client.pushed(&client.request("openid")).await;
    server.rows("UPDATE clients SET disabled_at = now() WHERE client_id = 'web'").await;
    agent.open(&brought.url()).await.is_error_page(400);
    client.push(&client.request("openid")).await.refused("invalid_client");
}

/// §7.3: for one browser. Another that learns where it waits there is told nothing of what was pushed.
#[tokio::test]
async fn the_address_of_a_pushed_request_opens_nothing_elsewhere() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (agent, elsewhere) = (server.agent(), server.agent());
    let page = agent.open(&client.pushed(&client.request("openid")).await.url()).await;
    assert!(page.asks_for_password(), "{} {}", page.status, page.body);
    elsewhere.open(&client.request("openid").url()).await;
    elsewhere.open(page.url.as_str()).await.is_error_page(400);
    client.code(&agent, "openid").await;
}

/// §6: registered to push, a client is answered in no other way.
#[tokio::test]
async fn a_client_that_must_push_is_refused_otherwise() {
    let server = Server::start(Settings::default().declare(PUSHER)).await;
    let pusher = server.client("pusher");
    let request = pusher.request("openid");
    let agent = server.agent();
    let answer = agent.step(&request.url()).await.answer();
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("invalid_request", "the state"));
    agent.step(&request.clone().with("redirect_uri", "https://evil.example/").url()).await.is_error_page(400);
    // A push, by a GET or by a form from elsewhere, and once more after the sign-in.
    let brought = pusher.pushed(&request).await;
    let first = agent.submit_from_elsewhere(brought.endpoint(), &brought.parameters).await;
    let page = agent.follow(first).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let consent = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = agent.decide(&consent, "allow").await.code();
    pusher.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    // One answered without any page, too.
    let request = pusher.request("openid").with("prompt", "none");
    let page = agent.step(&pusher.pushed(&request).await.url()).await;
    pusher.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
}

/// `prompt=login` asks for a sign-in after the browser came, not merely after the push.
#[tokio::test]
async fn a_sign_in_between_push_and_browser_is_not_the_one_asked_for() {
    let server = Server::usual().await;
    let (web, web2) = (server.client("web"), server.client("web2"));
    let agent = server.agent();
    let brought = web.pushed(&web.request("openid").with("prompt", "login")).await;
    server.advance(TimeDelta::seconds(10)).await;
    web2.code(&agent, "openid").await;
    server.advance(TimeDelta::seconds(10)).await;
    let page = agent.open(&brought.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    agent.decide(&page, "allow").await.code();
}

/// Answers and errors of a pushed request go where and how it says.
#[tokio::test]
async fn its_response_mode_counts() {
    let server = Server::usual().await;
    let web = server.client("web");
    let agent = server.agent();
    web.code(&agent, "openid").await;
    let request = web.request("openid").with("response_mode", "form_post");
    let page = agent.open(&web.pushed(&request).await.url()).await;
    web.redeem(&Code { code: hidden_code(&page), verifier: request.verifier }).await.tokens();
    let silent = web.request("openid").with("prompt", "none");
    let page = server.agent().step(&web.pushed(&silent).await.url()).await;
    assert_eq!(page.error(), "login_required");
}

/// Nothing in the database leads to the request_uri, and no credential of the client is kept with the request.
#[tokio::test]
async fn it_cannot_be_read_in_the_database() {
    let server = Server::usual().await;
    let mut secrets = vec![SECRET.to_owned()];
    for id in ["web", "post", "pkj"] {
        let client = server.client(id);
        let brought = client.pushed(&client.request("openid")).await;
        let body = parameter(&brought, "request_uri").strip_prefix(URN).unwrap().to_owned();
        secrets.push(body[24..].to_owned());
        let octets = from_base64url(&body).unwrap();
        secrets.push(octets[16..].iter().fold(String::new(), |text, octet| format!("{text}{octet:02x}")));
    }
    let rows = server.rows("SELECT r::text FROM authorization_requests r").await;
    assert_eq!(rows.len(), 3);
    let dump = format!("{rows:?}");
    assert!(dump.contains("the-nonce") && !dump.contains("client_assertion"), "{dump}");
    assert!(secrets.iter().all(|secret| !dump.contains(secret)), "{dump}");
}

/// A public client can be anybody: what is kept for it is bounded by where it comes from.
#[tokio::test]
async fn pushes_of_strangers_are_bounded() {
    let server = Server::usual().await;
    let spa = server.client("spa");
    let request = spa.request("openid");
    let mut waits = 0;
    for _ in 0..11 {
        let answers = join_all((0..100).map(|_| spa.push(&request))).await;
        for answer in answers {
            match answer.status {
                201 => {}
                429 => waits += usize::from(!answer.header("retry-after").is_empty()),
                other => panic!("{other}: {answer:?}"),
            }
        }
    }
    let kept: usize = server.value("SELECT count(*) FROM authorization_requests").await.parse().unwrap();
    assert!(waits > 0 && kept + waits == 1100, "{kept} kept, {waits} told to wait");
    // Not so a client that shows who it is.
    assert_eq!(server.client("web").push(&server.client("web").request("openid")).await.status, 201);
}

/// A script of the client's may push and read the answer; others may not.
#[tokio::test]
async fn the_clients_own_origins_may_push() {
    let server = Server::usual().await;
    let url = server.endpoint("pushed_authorization_request_endpoint");
    let request = server.client("spa").request("openid");
    for (origin, allowed) in [("https://spa.example", "https://spa.example"), ("https://evil.example", "")] {
        let push = server.http().post(&url).header("origin", origin).form(&request.parameters);
        let answer = Answer::of(push).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, allowed));
    }
    assert_eq!(json!(server.value("SELECT count(*) FROM authorization_requests").await), "2");
}
