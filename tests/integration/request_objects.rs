//! Request objects (RFC 9101, OIDC Core §6): signed by the client, by value or by reference; what is in them counts, and
//! nothing else does.

mod by_reference;

use chrono::TimeDelta;
use jsonwebtoken::{EncodingKey, Header};
use mooring::jose::{Algorithm, SigningKey, base64url};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{
    ALICE, Answer, Client, PASSWORD, Server, Settings,
    client::{Code, Request},
    declared::{CLIENT_KEY, REDIRECT_URI, SECRET, WEB_REDIRECT_URI},
    token,
};

/// What the request object of `request` says, with `changes`; `null` takes one away.
fn object(client: &Client<'_>, request: &Request, changes: &Value) -> Value {
    let now = client.server.clock.now().timestamp();
    let mut claims = request.claims();
    let usual = json!({ "iss": client.id, "aud": client.server.issuer, "iat": now, "exp": now + 120 });
    for (name, value) in usual.as_object().unwrap().iter().chain(changes.as_object().unwrap()) {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn signed(claims: &Value) -> String {
    CLIENT_KEY.sign("oauth-authz-req+jwt", claims).unwrap()
}

fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.to_string().as_bytes()))
}

/// A request by value: what OpenID Connect wants beside it, and the object.
fn by_value(request: &Request, id: &str, object: &str) -> Request {
    request.only(&[
        ("client_id", id),
        ("response_type", "code"),
        ("scope", "openid"),
        ("redirect_uri", REDIRECT_URI),
        ("request", object),
    ])
}

/// Public keys as TOML has them.
fn jwks(key: &SigningKey) -> String {
    let members: Vec<_> =
        key.public_jwk().as_object().unwrap().iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("jwks = {{ keys = [{{ {} }}] }}", members.join(", "))
}

/// A confidential client with these members more.
fn declare(id: &str, more: &str) -> String {
    format!(
        "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\", \
         \"{WEB_REDIRECT_URI}\"]\nscope = \"openid profile email\"\n{more}\n"
    )
}

#[tokio::test]
async fn what_the_object_says_counts_and_nothing_beside_it() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid email").with("max_age", "600");
    let claims = object(
        &client,
        &request,
        &json!({ "claims": { "id_token": { "email": { "essential": true } } }, "max_age": 600 }),
    );
    let mut sent = by_value(&request, "pkj", &signed(&claims));
    for (name, value) in [
        ("redirect_uri", WEB_REDIRECT_URI),
        ("scope", "openid phone"),
        ("state", "another"),
        ("nonce", "another"),
        ("response_mode", "form_post"),
        ("prompt", "none"),
        ("max_age", "nonsense"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
    ] {
        sent = sent.with(name, value);
    }
    let page = server.agent().walk(&sent.url(), ALICE).await;
    assert!(page.header("location").starts_with(REDIRECT_URI), "{:?}", page.headers);
    assert_eq!(page.answer()["state"], "the state");
    let tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier.clone() }).await.tokens();
    assert_eq!(tokens.all["scope"], "openid email");
    let id_token = token::claims(&tokens.id);
    assert_eq!(
        (id_token["nonce"].as_str(), id_token["email"].as_str()),
        (Some("the-nonce"), Some("alice@example.com"))
    );

    // RFC 9101 §5: only the two need to be sent; a parameter that is only outside is not there.
    let bare = request.only(&[("client_id", "pkj"), ("request", &signed(&claims))]);
    let page = server.agent().walk(&bare.url(), ALICE).await;
    client.redeem(&Code { code: page.code(), verifier: request.verifier.clone() }).await.tokens();
    let without = object(&client, &request, &json!({ "response_type": null }));
    let page = server.agent().step(&by_value(&request, "pkj", &signed(&without)).url()).await;
    assert_eq!(page.error(), "invalid_request");
    // By a form from elsewhere, too.
    let agent = server.agent();
    let first = agent.submit_from_elsewhere(bare.endpoint(), &bare.parameters).await;
    assert!(agent.follow(first).await.asks_for_password());
}

/// A person may take their time: what was understood stays, however old the object is by then.
#[tokio::test]
async fn a_request_that_waits_is_not_read_again() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid").with("prompt", "login consent");
    let sent = by_value(&request, "pkj", &signed(&object(&client, &request, &json!({}))));
    let agent = server.agent();
    let page = agent.open(&sent.url()).await;
    server.advance(TimeDelta::minutes(30)).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = agent.decide(&page, "allow").await.code();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(server.agent().step(&sent.url()).await.error(), "invalid_request_object", "it has expired");
}

#[tokio::test]
async fn an_object_is_the_clients_for_us_and_of_now() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid");
    let agent = server.agent();
    let now = server.clock.now().timestamp();
    let other = SigningKey::generate(Algorithm::Es256).unwrap().0;
    let good = object(&client, &request, &json!({}));
    let with = |changes: Value| signed(&object(&client, &request, &changes));
    let symmetric = |secret: &[u8]| {
        jsonwebtoken::encode(&Header::new(jsonwebtoken::Algorithm::HS256), &good, &EncodingKey::from_secret(secret))
            .unwrap()
    };
    let point = base64url_decoded(&[&CLIENT_KEY.public_jwk()["x"], &CLIENT_KEY.public_jwk()["y"]]);
    let tampered = {
        let text = signed(&good);
        let (head, signature) = text.rsplit_once('.').unwrap();
        let (header, _) = head.split_once('.').unwrap();
        let forged = object(&client, &request, &json!({ "scope": "openid offline_access" }));
        format!("{header}.{}.{signature}", base64url(forged.to_string().as_bytes()))
    };
    for (what, text) in [
        ("another's key", other.sign("JWT", &good).unwrap()),
        ("unsigned", unsigned(&good)),
        (
            "unsigned, in capitals",
            unsigned(&good).replacen(&base64url(br#"{"alg":"none"}"#), &base64url(br#"{"alg":"NONE"}"#), 1),
        ),
        ("HMAC by the secret", symmetric(SECRET.as_bytes())),
        ("HMAC by the public key", symmetric(&point)),
        ("tampered with", tampered),
        ("encrypted", "e30.e30.e30.e30.e30".to_owned()),
        ("no JWT", "nonsense".to_owned()),
        ("a client assertion", client.assertion(&json!({ "response_type": "code" }))),
        ("typed otherwise", CLIENT_KEY.sign("dpop+jwt", &good).unwrap()),
        ("of another issuer", with(json!({ "iss": "web" }))),
        ("of another client", with(json!({ "client_id": "web" }))),
        ("of nobody", with(json!({ "client_id": null, "iss": null }))),
        ("for another server", with(json!({ "aud": "https://op.example" }))),
        ("expired", with(json!({ "exp": now - 60 }))),
        ("not yet", with(json!({ "nbf": now + 60 }))),
        ("from the future", with(json!({ "iat": now + 60 }))),
        ("with the client as its subject", with(json!({ "sub": "pkj" }))),
        ("with a request inside", with(json!({ "request": "a.b.c" }))),
        ("with a request_uri inside", with(json!({ "request_uri": "https://rp.example/r" }))),
        ("of another response_type", with(json!({ "response_type": "token" }))),
        ("with a list for a parameter", with(json!({ "scope": ["openid"] }))),
        ("with NUL", with(json!({ "nonce": "a\0b" }))),
    ] {
        let sent = by_value(&request, "pkj", &text).with("state", "outside");
        let answer = agent.step(&sent.url()).await.answer();
        assert_eq!(answer.get("error").map(String::as_str), Some("invalid_request_object"), "{what}: {answer:?}");
        assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("outside", server.issuer.as_str()), "{what}");
        // Only to a place that is trusted.
        let evil = sent.with("redirect_uri", "https://evil.example/");
        agent.step(&evil.url()).await.is_error_page(400);
    }
    // What is too long is not read, and that is said to the relying party.
    let huge = by_value(&request, "pkj", &with(json!({ "padding": "x".repeat(30_000) }))).with("state", "outside");
    let answer = agent.step(&huge.url()).await.answer();
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("invalid_request", "outside"));
    let ok = by_value(&request, "pkj", &signed(&good));
    agent.step(&ok.clone().with("client_id", "web").url()).await.answer();
    assert_eq!(agent.step(&ok.clone().with("client_id", "web").url()).await.error(), "invalid_request_object");
    assert_eq!(agent.step(&ok.clone().with("response_type", "token").url()).await.error(), "invalid_request_object");
    let both = ok.clone().with("request_uri", "https://rp.example/r");
    assert_eq!(agent.step(&both.url()).await.error(), "invalid_request");
    let twice = ok.clone().repeat("request", "a.b.c");
    assert_eq!(agent.step(&twice.url()).await.error(), "invalid_request");
    // What is wrong with the request itself is said as ever, in the words of the object.
    let wrong = by_value(&request, "pkj", &with(json!({ "scope": "unheard-of", "state": "inside" })));
    let answer = agent.step(&wrong.url()).await.answer();
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("invalid_scope", "inside"));
    let registration = by_value(&request, "pkj", &with(json!({ "registration": {} })));
    assert_eq!(agent.step(&registration.url()).await.error(), "registration_not_supported");
    // Where all is in the object, its word on where to tell is good for as much as a parameter's.
    let inside = request.only(&[("client_id", "pkj"), ("request", &with(json!({ "exp": now - 60 })))]);
    assert_eq!(agent.step(&inside.url()).await.error(), "invalid_request_object");
    let inside = request.only(&[
        ("client_id", "pkj"),
        ("request", &with(json!({ "exp": now - 60, "redirect_uri": "https://evil.example/" }))),
    ]);
    agent.step(&inside.url()).await.is_error_page(400);
    assert!(agent.open(&ok.url()).await.asks_for_password(), "the good one");
}

fn base64url_decoded(parts: &[&Value]) -> Vec<u8> {
    parts.iter().flat_map(|part| mooring::jose::from_base64url(part.as_str().unwrap()).unwrap()).collect()
}

/// The suite's `oidcc-ensure-request-object-with-redirect-uri`, and its reverse.
#[tokio::test]
async fn ensure_request_object_with_redirect_uri() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid");
    let sent = by_value(&request, "pkj", &signed(&object(&client, &request, &json!({}))));
    let outside_invalid = sent.with("redirect_uri", &format!("{REDIRECT_URI}_invalid"));
    let page = server.agent().walk(&outside_invalid.url(), ALICE).await;
    assert!(page.header("location").starts_with(REDIRECT_URI) && !page.header("location").contains("_invalid"));
    page.code();
    // What is outside cannot stand in for what is inside.
    for inside in [json!({ "redirect_uri": "https://evil.example/" }), json!({ "redirect_uri": null })] {
        let sent = by_value(&request, "pkj", &signed(&object(&client, &request, &inside)));
        server.agent().step(&sent.url()).await.is_error_page(400);
    }
}

#[tokio::test]
async fn the_registered_algorithm_and_signed_only_where_registered() {
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap().0;
    let settings = Settings::default()
        .declare(&declare("rs256", &format!("{}\nrequest_object_signing_alg = \"RS256\"", jwks(&rsa))))
        .declare(&declare("strict", &format!("{}\nrequire_signed_request_object = true", jwks(&rsa))))
        .declare(&declare("es256-only", &format!("{}\nrequest_object_signing_alg = \"ES256\"", jwks(&rsa))))
        .declare(&declare("says-none", "request_object_signing_alg = \"none\""))
        .declare(&declare("says-nothing", ""))
        .set("request_objects.unsigned", "true");
    let server = Server::start(settings).await;
    let agent = server.agent();
    let ask = async |id: &str, sign: &dyn Fn(&Value) -> String| {
        let client = server.client(id);
        let request = client.request("openid");
        let sent = by_value(&request, id, &sign(&object(&client, &request, &json!({}))));
        agent.step(&sent.url()).await
    };
    let by_rsa = |claims: &Value| rsa.sign("JWT", claims).unwrap();
    for (id, signed_is_good, unsigned_is_good) in [
        ("rs256", true, false),
        ("strict", true, false),
        ("es256-only", false, false),
        ("says-none", false, true),
        ("says-nothing", false, true),
    ] {
        for (sign, good) in [(&by_rsa as &dyn Fn(&Value) -> String, signed_is_good), (&unsigned, unsigned_is_good)] {
            let page = ask(id, sign).await;
            if good {
                assert!(page.location().unwrap().path().ends_with("/login"), "{id}: {:?}", page.headers);
            } else {
                assert_eq!(page.error(), "invalid_request_object", "{id}");
            }
        }
    }
    // RFC 9101 §10.5: no way round it.
    let strict = server.client("strict");
    assert_eq!(agent.step(&strict.request("openid").url()).await.error(), "invalid_request");
    strict.push(&strict.request("openid")).await.refused("invalid_request");
    let document = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    let algorithms = document["request_object_signing_alg_values_supported"].as_array().unwrap().clone();
    assert!(["RS256", "PS256", "ES256", "EdDSA", "none"].iter().all(|alg| algorithms.contains(&json!(alg))));
    assert_eq!(document["request_parameter_supported"], true);
}

/// Unsigned ones are off unless the configuration says otherwise, whatever a client registers.
#[tokio::test]
async fn unsigned_ones_are_off_by_default() {
    let settings = Settings::default().declare(&declare("says-none", "request_object_signing_alg = \"none\""));
    let server = Server::start(settings).await;
    let client = server.client("says-none");
    let request = client.request("openid");
    let sent = by_value(&request, "says-none", &unsigned(&object(&client, &request, &json!({}))));
    assert_eq!(server.agent().step(&sent.url()).await.error(), "invalid_request_object");
    let document = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    assert!(!document["request_object_signing_alg_values_supported"].to_string().contains("none"));
    assert_eq!(document["request_uri_parameter_supported"], false);
}

/// RFC 9126 §3: pushed, an object is verified like any other, and its client is the one that authenticates.
#[tokio::test]
async fn an_object_may_be_pushed() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid");
    let text = signed(&object(&client, &request, &json!({})));
    let answer = client.call("pushed_authorization_request_endpoint", &[("request", &text), ("scope", "phone")]).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // Verified once: it may expire while the person is on the way.
    let request_uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    let brought = request.only(&[("client_id", "pkj"), ("request_uri", &request_uri)]);
    server.advance(TimeDelta::seconds(80)).await;
    let agent = server.agent();
    let page = agent.open(&brought.url()).await;
    server.advance(TimeDelta::minutes(3)).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = agent.decide(&page, "allow").await.code();
    let tokens = client.redeem(&Code { code, verifier: request.verifier.clone() }).await.tokens();
    assert_eq!(tokens.all["scope"], "openid");

    let push = async |text: &str| client.call("pushed_authorization_request_endpoint", &[("request", text)]).await;
    push(&text).await.refused("invalid_request_object");
    push(&unsigned(&object(&client, &request, &json!({})))).await.refused("invalid_request_object");
    for changes in [
        json!({ "client_id": "web", "iss": "web" }),
        json!({ "client_id": "web" }),
        json!({ "request_uri": "urn:ietf:params:oauth:request_uri:x" }),
    ] {
        push(&signed(&object(&client, &request, &changes))).await.refused("invalid_request_object");
    }
    let evil = signed(&object(&client, &request, &json!({ "redirect_uri": "https://evil.example/" })));
    push(&evil).await.refused("invalid_request");
    // Another client's object is none of one's own.
    let web = server.client("web");
    web.call("pushed_authorization_request_endpoint", &[("request", &text)]).await.refused("invalid_request_object");
}

/// Two clients of one developer with one key: an object is only the one's that it names.
#[tokio::test]
async fn a_shared_key_does_not_lend_objects() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap().0;
    let settings = Settings::default().declare(&declare("one", &jwks(&key))).declare(&declare("two", &jwks(&key)));
    let server = Server::start(settings).await;
    let (one, two) = (server.client("one"), server.client("two"));
    let request = one.request("openid");
    let text = key.sign("JWT", &object(&one, &request, &json!({}))).unwrap();
    assert!(server.agent().open(&by_value(&request, "one", &text).url()).await.asks_for_password());
    let borrowed = by_value(&two.request("openid"), "two", &text);
    assert_eq!(server.agent().step(&borrowed.url()).await.error(), "invalid_request_object");
}

#[tokio::test]
async fn keys_may_be_where_jwks_uri_says() {
    let (home, key) = (MockServer::start().await, SigningKey::generate(Algorithm::Es256).unwrap().0);
    let set = json!({ "keys": [key.public_jwk()] });
    Mock::given(path("/jwks")).respond_with(ResponseTemplate::new(200).set_body_json(set)).expect(1).mount(&home).await;
    let more = format!("jwks_uri = \"{}/jwks\"", home.uri());
    let settings = Settings::default().declare(&declare("remote", &more)).set("outbound.allow", "127.0.0.1/32");
    let server = Server::start(settings).await;
    let client = server.client("remote");
    let request = client.request("openid");
    for _ in 0..3 {
        let text = key.sign("JWT", &object(&client, &request, &json!({}))).unwrap();
        assert!(server.agent().open(&by_value(&request, "remote", &text).url()).await.asks_for_password());
    }
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap().0;
    let text = stranger.sign("JWT", &object(&client, &request, &json!({}))).unwrap();
    let page = server.agent().step(&by_value(&request, "remote", &text).url()).await;
    assert_eq!(page.error(), "invalid_request_object");
    home.verify().await;
}

/// Signed as it should be, and saying nonsense: judged like everything else, whoever the client is.
#[tokio::test]
async fn nonsense_that_is_signed_is_judged_too() {
    let server = Server::usual().await;
    let client = server.client("pkj");
    let request = client.request("openid");
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}\u{7f}\"\\\u{202e}é"),
        json!("x".repeat(3000)),
        json!([]),
        json!([null, 7, "x"]),
        json!(["https://api.example", "https://api.example"]),
        json!({}),
        json!({ "userinfo": [], "id_token": { "sub": { "value": 7 }, "acr": "x" } }),
        json!({ "a": { "b": { "c": [[[[[[{}]]]]]] } } }),
    ];
    let mut judged = 0;
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "prompt",
        "max_age",
        "login_hint",
        "id_token_hint",
        "claims",
        "acr_values",
        "ui_locales",
        "display",
        "resource",
        "registration",
        "request",
        "request_uri",
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "unheard-of",
    ] {
        for value in &values {
            let mut claims = object(&client, &request, &json!({}));
            claims[name] = value.clone();
            let pushed = client.call("pushed_authorization_request_endpoint", &[("request", &signed(&claims))]).await;
            assert!(matches!(pushed.status, 201 | 400), "{name} {value}: {pushed:?}");
            if pushed.status == 400 {
                let body = pushed.json();
                let said = body["error_description"].as_str().unwrap();
                // RFC 6749 §5.2.
                let allowed = |octet: u8| matches!(octet, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                assert!(said.bytes().all(allowed) && body["error"] != "server_error", "{name} {value}: {body}");
                judged += 1;
            } else {
                // What passed when it was pushed is not broken when it is brought.
                let uri = pushed.json()["request_uri"].as_str().unwrap().to_owned();
                let page =
                    server.agent().open(&request.only(&[("client_id", "pkj"), ("request_uri", &uri)]).url()).await;
                assert!(page.status < 500, "{name} {value}: {} {}", page.status, page.body);
            }
        }
    }
    assert!(judged > 150, "{judged}");
}
