//! Request objects at a URI that the client registered (RFC 9101 §5.2, OIDC Core §6.2).

use wiremock::matchers::any;

use super::*;

/// A server with the client `remote`, whose objects are at these paths of `home`.
async fn by_reference(home: &MockServer, paths: &[&str], settings: Settings) -> Server {
    let uris: Vec<_> = paths.iter().map(|path| format!("{}{path}", home.uri())).collect();
    let more = format!("{}\nrequest_uris = {uris:?}", jwks(&CLIENT_KEY));
    Server::start(settings.declare(&declare("remote", &more)).set("request_objects.by_reference", "true")).await
}

fn reference(request: &Request, uri: &str) -> Request {
    by_value(request, "remote", "").without("request").with("request_uri", uri)
}

fn text(object: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(object.to_owned(), "application/jwt")
}

/// The suite's `oidcc-request-uri-signed-rs256` and `oidcc-request-uri-unsigned`: a fragment belongs to the URI.
#[tokio::test]
async fn an_object_may_be_where_the_client_registered_it() {
    let home = MockServer::start().await;
    let settings = Settings::default().set("outbound.allow", "127.0.0.1/32").set("request_objects.unsigned", "true");
    let server = by_reference(&home, &["/kept#version", "/fresh", "/bare#x"], settings).await;
    let client = server.client("remote");
    let request = client.request("openid").with("prompt", "login");
    let says = object(&client, &request, &json!({}));
    Mock::given(path("/kept")).respond_with(text(&format!("{}\n", signed(&says)))).expect(1).mount(&home).await;
    Mock::given(path("/fresh")).respond_with(text(&signed(&says))).expect(2).mount(&home).await;
    Mock::given(path("/bare")).respond_with(text(&unsigned(&says))).expect(1).mount(&home).await;
    for at in ["/kept#version", "/fresh", "/bare#x"] {
        let sent = reference(&request, &format!("{}{at}", home.uri()));
        let agent = server.agent();
        // Nothing is fetched again when the person comes back from the pages.
        let page = agent.walk(&sent.url(), ALICE).await;
        client.redeem(&Code { code: page.code(), verifier: request.verifier.clone() }).await.tokens();
    }
    for at in ["/kept#version", "/fresh"] {
        let sent = reference(&request, &format!("{}{at}", home.uri()));
        assert!(server.agent().open(&sent.url()).await.asks_for_password());
    }
    home.verify().await;
    let document = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    assert_eq!(document["request_uri_parameter_supported"], true);
    assert_eq!(document["require_request_uri_registration"], true);
}

#[tokio::test]
async fn only_what_is_registered_allowed_and_small_is_fetched() {
    let home = MockServer::start().await;
    let settings = Settings::default().set("outbound.allow", "127.0.0.1/32");
    let paths = ["/good", "/moved", "/long", "/failed", "/page", "/latin"];
    let server = by_reference(&home, &paths, settings).await;
    let client = server.client("remote");
    let request = client.request("openid");
    let good = signed(&object(&client, &request, &json!({})));
    let moved = ResponseTemplate::new(302).insert_header("location", format!("{}/good", home.uri()));
    for (at, answer, times) in [
        ("/good", text(&good), 0),
        ("/moved", moved, 1),
        ("/long", text(&"x".repeat(70 << 10)), 1),
        ("/failed", ResponseTemplate::new(500).set_body_string(&good), 1),
        ("/page", ResponseTemplate::new(200).set_body_string("<html>"), 1),
        ("/latin", ResponseTemplate::new(200).set_body_bytes([0xff, 0xfe]), 1),
    ] {
        Mock::given(path(at)).respond_with(answer).expect(times).mount(&home).await;
    }
    let agent = server.agent();
    let ask = async |uri: &str| agent.step(&reference(&request, uri).url()).await.answer()["error"].clone();
    let at = |path: &str| format!("{}{path}", home.uri());
    for path in ["/moved", "/long", "/failed", "/latin"] {
        assert_eq!(ask(&at(path)).await, "invalid_request_uri", "{path}");
    }
    assert_eq!(ask(&at("/page")).await, "invalid_request_object");
    // Compared as text: nothing that merely leads to the same place.
    for other in [
        at("/good#x"),
        at("/good?x"),
        at("/good/"),
        at("/x/../good"),
        at("/%67ood"),
        at("/elsewhere"),
        "https://evil.example/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "data:application/jwt,x".to_owned(),
        "urn:example:x".to_owned(),
        "not a URI".to_owned(),
    ] {
        assert_eq!(ask(&other).await, "invalid_request_uri", "{other}");
    }
    home.verify().await;
    // Told only where that is trusted.
    let evil = reference(&request, &at("/elsewhere")).with("redirect_uri", "https://evil.example/");
    agent.step(&evil.url()).await.is_error_page(400);
}

/// Registered is not allowed: the server's own network stays out of reach, and nobody learns what is there.
#[tokio::test]
async fn a_reference_does_not_lead_into_our_network() {
    let home = MockServer::start().await;
    Mock::given(any()).respond_with(text("x")).expect(0).mount(&home).await;
    let server = by_reference(&home, &["/inside"], Settings::default()).await;
    let request = server.client("remote").request("openid");
    let answer = server.agent().step(&reference(&request, &format!("{}/inside", home.uri())).url()).await.answer();
    assert_eq!(answer["error"], "invalid_request_uri");
    let said = answer["error_description"].as_str();
    assert!(!said.contains("127.0.0.1") && !said.contains("allow"), "{said}");
    home.verify().await;
}

#[tokio::test]
async fn references_are_off_by_default() {
    let home = MockServer::start().await;
    Mock::given(any()).respond_with(text("x")).expect(0).mount(&home).await;
    let more = format!("request_uris = [\"{}/r\"]", home.uri());
    let settings = Settings::default().declare(&declare("remote", &more)).set("outbound.allow", "127.0.0.1/32");
    let server = Server::start(settings).await;
    let request = server.client("remote").request("openid");
    let page = server.agent().step(&reference(&request, &format!("{}/r", home.uri())).url()).await;
    assert_eq!(page.error(), "request_uri_not_supported");
    home.verify().await;
}

/// As the suite's dynamic plan has it: the client registers itself with the place of its objects, its fragment included,
/// and says nothing of algorithms.
#[tokio::test]
async fn a_client_that_registers_itself_may_ask_by_reference() {
    let home = MockServer::start().await;
    let register = async |server: &Server, more: Value| {
        let mut metadata = json!({ "redirect_uris": [REDIRECT_URI] });
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Answer::of(server.http().post(server.endpoint("registration_endpoint")).json(&metadata)).await
    };
    let settings = Settings::default()
        .set("registration.policy", "open")
        .set("request_objects.by_reference", "true")
        .set("outbound.allow", "127.0.0.1/32");
    let strict = Server::start(settings.clone()).await;
    // Asking for what the policy does not allow is refused when it is registered.
    register(&strict, json!({ "request_object_signing_alg": "none" })).await.refused("invalid_client_metadata");
    register(&strict, json!({ "request_uris": ["http://rp.example/r"] })).await.refused("invalid_client_metadata");

    let server = Server::start(settings.set("request_objects.unsigned", "true")).await;
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap().0;
    let jwks = json!({ "keys": [rsa.public_jwk()] });
    for (version, (more, good)) in [
        (json!({ "jwks": jwks, "request_object_signing_alg": "RS256" }), true),
        (json!({}), true),
        (json!({ "request_object_signing_alg": "none" }), true),
        (json!({ "jwks": jwks, "request_object_signing_alg": "ES256" }), false),
    ]
    .into_iter()
    .enumerate()
    {
        let uri = format!("{}/object#{version}", home.uri());
        let mut metadata = more.clone();
        metadata["request_uris"] = json!([uri]);
        let registered = register(&server, metadata).await;
        assert_eq!(registered.status, 201, "{registered:?}");
        let all = registered.json();
        assert_eq!(all["request_uris"], json!([uri]));
        let id = all["client_id"].as_str().unwrap().to_owned();
        let client = Client { id: id.clone(), ..server.client("web") };
        let request = client.request("openid");
        let says = object(&client, &request, &json!({}));
        let text_of = if more.get("jwks").is_some() { rsa.sign("JWT", &says).unwrap() } else { unsigned(&says) };
        home.reset().await;
        Mock::given(path("/object")).respond_with(text(&text_of)).mount(&home).await;
        let sent = by_value(&request, &id, "").without("request").with("request_uri", &uri);
        let page = server.agent().open(&sent.url()).await;
        assert_eq!(page.status == 200 && page.asks_for_password(), good, "{more}: {} {:?}", page.status, page.headers);
    }
}
