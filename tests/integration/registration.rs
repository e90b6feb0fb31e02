//! Clients that register themselves, manage what they registered, and go again (RFC 7591, RFC 7592).

mod as_clients_ask;
mod limits;
mod management;
mod on_the_consent_page;
mod signing_out;

use std::path::Path;

use chrono::TimeDelta;
use futures_util::future::join_all;
use mooring::{clients, oauth::client_metadata::MEMBERS};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{
    ALICE, Answer, Client, Method, Server, Settings,
    client::userinfo,
    declared::{CLIENT_KEY, REDIRECT_URI},
    token,
};

const INITIAL: &str = "an-initial-access-token-of-the-tests-0123456789";

async fn open() -> Server {
    Server::start(Settings::default().set("registration.policy", "open")).await
}

/// A server that asks for [`INITIAL`].
async fn guarded() -> Server {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("initial-{}", std::process::id()));
    std::fs::write(&file, format!("{INITIAL}\n")).unwrap();
    let settings = Settings::default()
        .set("registration.policy", "token")
        .set("registration.initial_access_token_file", file.to_str().unwrap());
    Server::start(settings).await
}

async fn post(server: &Server, bearer: Option<&str>, metadata: &Value) -> Answer {
    let request = server.http().post(server.endpoint("registration_endpoint")).json(metadata);
    Answer::of(match bearer {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await
}

/// What a usual client asks for, with `changes`.
fn usual(changes: &Value) -> Value {
    let mut metadata = json!({
        "client_name": "Tide Tables", "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
    });
    for (name, value) in changes.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    metadata
}

/// A client that has registered itself.
struct Registered<'s> {
    server: &'s Server,
    all: Value,
}

impl<'s> Registered<'s> {
    async fn with(server: &'s Server, changes: &Value) -> Self {
        let answer = post(server, None, &usual(changes)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
        Self { server, all: answer.json() }
    }

    fn text(&self, member: &str) -> &str {
        self.all[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", self.all))
    }

    fn client(&self) -> Client<'s> {
        let secret = || self.text("client_secret").to_owned();
        let method = match self.text("token_endpoint_auth_method") {
            "none" => Method::None,
            "client_secret_basic" => Method::Basic(secret()),
            "client_secret_post" => Method::Post(secret()),
            _ => Method::Assertion,
        };
        let (id, redirect_uri) = (self.text("client_id").to_owned(), REDIRECT_URI.to_owned());
        Client { server: self.server, id, method, redirect_uri }
    }

    async fn manage(&self, method: reqwest::Method, token: &str, body: Option<&Value>) -> Answer {
        let request = self.server.http().request(method, self.text("registration_client_uri")).bearer_auth(token);
        Answer::of(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    async fn get(&self) -> Answer {
        self.manage(reqwest::Method::GET, self.text("registration_access_token"), None).await
    }

    async fn put(&self, body: &Value) -> Answer {
        self.manage(reqwest::Method::PUT, self.text("registration_access_token"), Some(body)).await
    }

    async fn delete(&self) -> Answer {
        self.manage(reqwest::Method::DELETE, self.text("registration_access_token"), None).await
    }

    /// What it would send to stay as it is, with `changes`.
    fn change(&self, changes: &Value) -> Value {
        let mut body = usual(&json!({ "client_id": self.all["client_id"] }));
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }
}

#[tokio::test]
async fn by_default_nobody_registers() {
    let server = Server::usual().await;
    let discovery = server.http().get(server.at("/.well-known/openid-configuration")).send().await.unwrap();
    assert!(discovery.json::<Value>().await.unwrap().get("registration_endpoint").is_none());
    let answer = Answer::of(server.http().post(server.at("/oauth/register")).json(&usual(&json!({})))).await;
    assert_eq!(answer.status, 404);
    assert_eq!(Answer::of(server.http().get(server.at("/oauth/register/web")).bearer_auth("x")).await.status, 404);
}

#[tokio::test]
async fn a_client_registers_and_is_a_client_like_any_other() {
    let server = open().await;
    let registered = Registered::with(&server, &json!({})).await;
    // RFC 7591 §3.2.1: everything that is registered, defaults included.
    let expected = json!({
        "client_name": "Tide Tables", "redirect_uris": [REDIRECT_URI], "application_type": "web",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256",
        "subject_type": "public", "require_auth_time": false, "require_pkce": true, "id_token_claims": false,
        "scope": "openid profile email address phone offline_access", "client_secret_expires_at": 0,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(registered.all[name], *value, "{name}");
    }
    assert_eq!(registered.all["client_id_issued_at"], server.clock.now().timestamp());
    assert!(registered.text("client_secret").len() >= 43 && registered.text("registration_access_token").len() >= 43);
    let uri = server.at(&format!("/oauth/register/{}", registered.text("client_id")));
    assert_eq!(registered.text("registration_client_uri"), uri);

    let client = registered.client();
    let tokens = client.tokens(&server.agent(), "openid email offline_access").await;
    userinfo(&server, &tokens.access).await.ok();
    client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(server.events("client.registered", "done").await, 1);
    let actor = "SELECT actor FROM audit_events WHERE action = 'client.registered' AND source_hash IS NOT NULL";
    assert_eq!(server.value(actor).await, "client");

    // Neither secret can be read in the database.
    let stored = server.value(&format!("SELECT c::text FROM clients c WHERE client_id = '{}'", client.id)).await;
    for secret in ["client_secret", "registration_access_token"] {
        assert!(!stored.contains(registered.text(secret)), "{stored}");
    }
}

#[tokio::test]
async fn every_method_of_authentication_can_be_registered() {
    let server = open().await;
    let jwks = json!({ "keys": [CLIENT_KEY.public_jwk()] });
    for (method, more) in [
        ("none", json!({})),
        ("client_secret_post", json!({})),
        ("private_key_jwt", json!({ "jwks": jwks, "token_endpoint_auth_signing_alg": "ES256" })),
    ] {
        let mut changes = more;
        changes["token_endpoint_auth_method"] = json!(method);
        let registered = Registered::with(&server, &changes).await;
        let has_secret = registered.all.get("client_secret").is_some();
        assert_eq!(has_secret, method == "client_secret_post", "{}", registered.all);
        assert_eq!(registered.all.get("client_secret_expires_at").is_some(), has_secret);
        registered.client().tokens(&server.agent(), "openid").await;
    }
}

/// Suite module oidcc-registration-jwks-uri.
#[tokio::test]
async fn a_client_can_leave_its_keys_at_an_address() {
    let home = MockServer::start().await;
    let keys = ResponseTemplate::new(200).set_body_json(json!({ "keys": [CLIENT_KEY.public_jwk()] }));
    Mock::given(path("/jwks")).respond_with(keys).mount(&home).await;
    let settings = Settings::default().set("registration.policy", "open").set("outbound.allow", "127.0.0.1/32");
    let server = Server::start(settings).await;
    let at = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": format!("{}/jwks", home.uri()) });
    let registered = Registered::with(&server, &at).await;
    assert_eq!(home.received_requests().await.unwrap().len(), 0, "fetched when they are needed, and not before");
    registered.client().tokens(&server.agent(), "openid").await;
}

/// Suite modules oidcc-redirect-uri-regfrag and oidcc-3rd_party-init-login-nohttps are among these.
#[tokio::test]
async fn what_is_wrong_with_metadata_is_said_in_the_words_of_rfc_7591() {
    let server = open().await;
    for (changes, error) in [
        (json!({ "redirect_uris": ["https://rp.example/cb#fragment"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://rp.example/cb"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": "https://rp.example/cb" }), "invalid_redirect_uri"),
        (json!({ "response_types": ["token"] }), "invalid_client_metadata"),
        (json!({ "grant_types": ["implicit"] }), "invalid_client_metadata"),
        (json!({ "grant_types": ["client_credentials"] }), "invalid_client_metadata"),
        (json!({ "id_token_signed_response_alg": "none" }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "client_secret_jwt" }), "invalid_client_metadata"),
        (
            json!({ "jwks_uri": "https://rp.example/k", "jwks": { "keys": [{ "kty": "RSA" }] } }),
            "invalid_client_metadata",
        ),
        (json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } }), "invalid_client_metadata"),
        (json!({ "client_name": "a\0b" }), "invalid_client_metadata"),
        (json!({ "initiate_login_uri": "http://rp.example/start" }), "invalid_client_metadata"),
        (json!({ "software_statement": "e30.e30.c2ln" }), "unapproved_software_statement"),
        (json!({ "software_statement": "none" }), "invalid_software_statement"),
    ] {
        let answer = post(&server, None, &usual(&changes)).await;
        answer.refused(error);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    post(&server, None, &json!(["no object"])).await.refused("invalid_client_metadata");
    let url = server.endpoint("registration_endpoint");
    let send = async |kind: &str, body: Vec<u8>| {
        Answer::of(server.http().post(&url).header("content-type", kind).body(body)).await
    };
    send("application/json", b"{\"redirect_uris\": [".to_vec()).await.refused("invalid_client_metadata");
    send("application/json", b"[".repeat(60_000)).await.refused("invalid_client_metadata");
    send("application/x-www-form-urlencoded", b"a=b".to_vec()).await.refused_with(415, "invalid_request");
    let long = usual(&json!({ "software_id": "x".repeat(64 << 10) })).to_string();
    send("application/json; charset=utf-8", long.into_bytes()).await.refused_with(413, "invalid_request");
    let get = Answer::of(server.http().get(&url)).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(server.value("SELECT count(*) FROM clients WHERE registration_generation IS NOT NULL").await, "0");
}

/// Every member with everything that has ever broken a parser or a database: refused or registered, and nothing else.
#[tokio::test]
async fn nothing_that_is_said_breaks_it() {
    let settings = Settings::default().set("registration.policy", "open").set("registration.per_source", "100000");
    let server = Server::start(settings).await;
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("none"),
        json!("\u{0}"),
        json!("\u{202e}\u{feff}\n"),
        json!("x".repeat(5000)),
        json!(format!("https://{}.example/", "a".repeat(1900))),
        json!("https://[::1"),
        json!("https://a@b/"),
        json!("http:x"),
        json!([]),
        json!([null]),
        json!([""]),
        json!(["\u{0}"]),
        json!([format!("https://{}/", "b".repeat(2030))]),
        json!({}),
        json!({ "keys": [] }),
        json!({ "keys": [{ "kty": "RSA", "n": "\u{0}" }] }),
        json!({ "keys": [{ "kty": "EC", "\u{0}": 1 }] }),
        json!({ "keys": [{ "kty": "OKP", "x": deep }] }),
        deep.clone(),
    ];
    let url = server.endpoint("registration_endpoint");
    let mut given = 0;
    for member in MEMBERS {
        let answers = join_all(odd.iter().map(|value| {
            let body = usual(&json!({ member.name: value }));
            Answer::of(server.http().post(&url).json(&body))
        }))
        .await;
        for (answer, value) in answers.iter().zip(&odd) {
            let value: String = value.to_string().chars().take(80).collect();
            match answer.status {
                201 => given += 1,
                400 => {
                    let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
                    assert!(
                        ["invalid_client_metadata", "invalid_redirect_uri"].contains(&error.as_str()),
                        "{answer:?}"
                    );
                }
                other => panic!("{} = {value}: {other} {}", member.name, answer.text),
            }
        }
    }
    assert!(given > MEMBERS.len(), "null at least means that nothing was said");
}

/// What a browser is asked before a page of elsewhere may register, or read what was.
#[tokio::test]
async fn pages_of_elsewhere_cannot_register() {
    let server = open().await;
    let url = server.endpoint("registration_endpoint");
    let preflight = server.http().request(reqwest::Method::OPTIONS, &url).header("origin", "https://evil.example");
    let answer = Answer::of(preflight.header("access-control-request-method", "POST")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, ""));
    let answer =
        Answer::of(server.http().post(&url).header("origin", "https://evil.example").json(&usual(&json!({})))).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn with_the_policy_token_the_initial_access_token_opens() {
    let server = guarded().await;
    let answer = post(&server, None, &usual(&json!({}))).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    for wrong in ["x", &INITIAL[1..], &INITIAL.to_uppercase()] {
        post(&server, Some(wrong), &usual(&json!({}))).await.token_refused();
    }
    assert_eq!(server.events("client.registration_access", "refused").await, 3);
    let answer = post(&server, Some(INITIAL), &usual(&json!({}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");

    // Whoever has it may register clients that act for themselves, too; never for what is privileged.
    let machine = json!({ "grant_types": ["client_credentials"], "scope": "ships:read payments:write" });
    let answer = post(&server, Some(INITIAL), &machine).await;
    assert_eq!((answer.status, &answer.json()["scope"]), (201, &json!("ships:read")));
    let registered = Registered { server: &server, all: answer.json() };
    registered.client().client_credentials("ships:read").await.tokens();
    registered.client().client_credentials("payments:write").await.refused("invalid_scope");
    // The initial token manages nothing.
    registered.manage(reqwest::Method::GET, INITIAL, None).await.token_refused();
}

#[tokio::test]
async fn a_client_that_registered_itself_has_no_privileges() {
    let server = open().await;
    let asked = json!({ "client_id": "web", "client_secret": "x".repeat(40), "visitors": true, "introspection": "any",
        "require_pkce": false, "scope": "openid ships:read payments:write" });
    let registered = Registered::with(&server, &asked).await;
    assert_ne!(registered.text("client_id"), "web");
    assert_ne!(registered.text("client_secret"), "x".repeat(40));
    assert_eq!((&registered.all["visitors"], &registered.all["introspection"]), (&json!(false), &json!("own")));
    assert_eq!(registered.all["require_pkce"], true);
    // What an operator declared can be asked for, with a person's consent; what is privileged cannot.
    assert_eq!(registered.all["scope"], "openid ships:read");
    let client = registered.client();
    let bare = client.request("openid").without("code_challenge").without("code_challenge_method");
    assert_eq!(server.agent().walk(&bare.url(), ALICE).await.error(), "invalid_request");
    assert!(!client.is_active(&server.client("web").tokens(&server.agent(), "openid").await.access).await);

    let lax = Settings::default().set("registration.policy", "open").set("registration.require_pkce", "false");
    let server = Server::start(lax).await;
    let registered = Registered::with(&server, &json!({})).await;
    assert_eq!(registered.all["require_pkce"], false);
    let bare = registered.client().request("openid").without("code_challenge").without("code_challenge_method");
    server.agent().walk(&bare.url(), ALICE).await.code();
    let public = Registered::with(&server, &json!({ "token_endpoint_auth_method": "none" })).await;
    assert_eq!(public.all["require_pkce"], true);
}

/// OIDC Core §11: a client that cannot refresh may ask for it all the same, and does not get it.
#[tokio::test]
async fn offline_access_without_the_grant_for_it_is_passed_over() {
    let server = open().await;
    let registered = Registered::with(&server, &json!({ "grant_types": ["authorization_code"] })).await;
    let tokens = registered.client().tokens(&server.agent(), "openid offline_access").await;
    assert_eq!(tokens.refresh, "");
}

/// Suite modules oidcc-registration-logo-uri, -policy-uri and -tos-uri: they are on the page a person sees first.
#[tokio::test]
async fn logo_policy_and_terms_are_shown_to_the_person() {
    let server = open().await;
    let registered = Registered::with(
        &server,
        &json!({ "logo_uri": "https://cdn.rp.example/logo.png", "policy_uri": "https://rp.example/policy",
            "tos_uri": "https://rp.example/terms", "client_uri": "https://rp.example/home" }),
    )
    .await;
    let agent = server.agent();
    let login = agent.open(&registered.client().request("openid").url()).await;
    let consent = agent.sign_in(&login, ALICE, crate::support::PASSWORD).await;
    assert!(login.asks_for_password() && consent.offers("allow"));
    for page in [login, consent] {
        for part in [
            "<img class=\"logo\" src=\"https://cdn.rp.example/logo.png\"",
            "href=\"https://rp.example/policy\"",
            "href=\"https://rp.example/terms\"",
            "href=\"https://rp.example/home\"",
            "Tide Tables",
        ] {
            assert!(page.body.contains(part), "{part}:\n{}", page.body);
        }
        let policy = page.header("content-security-policy");
        assert!(policy.contains("; img-src 'self' data: https://cdn.rp.example;"), "{policy}");
    }
    // A name is text.
    let odd = Registered::with(&server, &json!({ "client_name": "<script>alert(1)</script>" })).await;
    let login = server.agent().open(&odd.client().request("openid").url()).await;
    assert!(!login.body.contains("<script>") && login.body.contains("&lt;script&gt;"));
    assert!(login.header("content-security-policy").contains("; img-src 'self' data:;"));
}

/// Suite modules oidcc-registration-sector-uri and -sector-bad; and nobody makes us ask where we should not.
#[tokio::test]
async fn a_sector_is_entered_by_leave_of_its_owner() {
    let home = MockServer::start().await;
    let listed = |uris: Value| ResponseTemplate::new(200).set_body_json(uris);
    Mock::given(path("/good")).respond_with(listed(json!([REDIRECT_URI, "https://x.example/"]))).mount(&home).await;
    Mock::given(path("/bad")).respond_with(listed(json!(["https://x.example/"]))).mount(&home).await;
    let away = ResponseTemplate::new(302).insert_header("location", format!("{}/good", home.uri()));
    Mock::given(path("/away")).respond_with(away).mount(&home).await;
    let sector =
        |at: &str| json!({ "subject_type": "pairwise", "sector_identifier_uri": format!("{}{at}", home.uri()) });

    let server = open().await;
    let answer = post(&server, None, &usual(&sector("/good"))).await;
    answer.refused("invalid_client_metadata");
    assert!(!answer.text.contains("127.0.0.1") && !answer.text.contains("allow"), "{answer:?}");
    assert_eq!(home.received_requests().await.unwrap().len(), 0, "the server went where it may not");

    let settings = Settings::default().set("registration.policy", "open").set("outbound.allow", "127.0.0.1/32");
    let server = Server::start(settings).await;
    for at in ["/bad", "/away", "/gone"] {
        post(&server, None, &usual(&sector(at))).await.refused("invalid_client_metadata");
    }
    let registered = Registered::with(&server, &sector("/good")).await;
    assert_eq!(registered.all["subject_type"], "pairwise");
    registered.put(&registered.change(&sector("/bad"))).await.refused("invalid_client_metadata");
}

/// With the tokens it holds it would learn what people are called where it does not belong.
#[tokio::test]
async fn a_client_does_not_move_to_another_sector() {
    let server = open().await;
    let victim = json!({ "subject_type": "pairwise", "redirect_uris": ["https://victim.example/cb"] });
    let pairwise = Registered::with(&server, &json!({ "subject_type": "pairwise" })).await;
    let tokens = pairwise.client().tokens(&server.agent(), "openid").await;
    let public = Registered::with(&server, &json!({})).await;
    for change in [&victim, &json!({}), &json!({ "redirect_uris": ["https://victim.example/cb"] })] {
        pairwise.put(&pairwise.change(change)).await.refused("invalid_client_metadata");
    }
    public.put(&public.change(&victim)).await.refused("invalid_client_metadata");
    public.put(&public.change(&json!({ "subject_type": "pairwise" }))).await.refused("invalid_client_metadata");
    // Within its sector it may move.
    let moved = json!({ "subject_type": "pairwise", "redirect_uris": [REDIRECT_URI, "http://127.0.0.1:10/other"] });
    assert_eq!(pairwise.put(&pairwise.change(&moved)).await.status, 200);
    let sub = &token::claims(&tokens.id)["sub"];
    assert_eq!(&pairwise.client().userinfo(&tokens.access).await.ok()["sub"], sub);
}

#[tokio::test]
async fn registrations_of_one_source_are_counted() {
    let settings = Settings::default().set("registration.policy", "open").set("registration.per_source", "5");
    let server = Server::start(settings.set("trusted_proxies", "127.0.0.1/32")).await;
    let url = server.endpoint("registration_endpoint");
    let from = async |address: &str, body: Value| {
        Answer::of(server.http().post(&url).header("x-forwarded-for", address).json(&body)).await
    };
    // What was refused counts, too.
    from("198.51.100.7", json!({})).await.refused("invalid_redirect_uri");
    let answers = join_all((0..9).map(|_| from("198.51.100.7", usual(&json!({}))))).await;
    let given = answers.iter().filter(|answer| answer.status == 201).count();
    let waits: Vec<u32> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .map(|answer| answer.refused_with(429, "temporarily_unavailable").header("retry-after").parse().unwrap())
        .collect();
    assert_eq!((given, waits.len()), (4, 5));
    assert!(waits.iter().all(|seconds| (1..=720).contains(seconds)), "{waits:?}");
    let other = from("198.51.100.8", usual(&json!({}))).await;
    assert_eq!(other.status, 201);
    // Nor is changing what is registered a way to keep the server busy.
    let other = Registered { server: &server, all: other.json() };
    let mut change = other.change(&json!({}));
    change["redirect_uris"] = json!([]);
    for _ in 0..5 {
        other.put(&change).await.refused("invalid_redirect_uri");
    }
    other.put(&change).await.refused_with(429, "temporarily_unavailable");
    other.get().await.ok();
    server.advance(TimeDelta::minutes(13)).await;
    assert_eq!(from("198.51.100.7", usual(&json!({}))).await.status, 201);
}

#[tokio::test]
async fn a_wide_network_cannot_fill_the_unused_registrations() {
    let settings = Settings::default().set("registration.policy", "open").set("registration.unused_limit", "30");
    let server = Server::start(settings.set("trusted_proxies", "127.0.0.1/32")).await;
    let from = async |address: &str| {
        let request = server.http().post(server.endpoint("registration_endpoint")).header("x-forwarded-for", address);
        Answer::of(request.json(&usual(&json!({})))).await
    };
    // Each /64 has a tenth, and the /48 around them three tenths.
    for network in 1..=3 {
        for _ in 0..3 {
            assert_eq!(from(&format!("2001:db8:1:{network}00::1")).await.status, 201);
        }
    }
    let full = from("2001:db8:1:400::1").await;
    assert!(!full.refused_with(429, "temporarily_unavailable").header("retry-after").is_empty());
    for elsewhere in ["2001:db8:2::1", "198.51.100.7"] {
        assert_eq!(from(elsewhere).await.status, 201, "{elsewhere}");
    }
}

#[tokio::test]
async fn clients_that_nobody_uses_are_few_and_go_again() {
    let settings = Settings::default().set("registration.policy", "open").set("registration.unused_limit", "30");
    let server = Server::start(settings.set("trusted_proxies", "127.0.0.1/32")).await;
    let used = Registered::with(&server, &json!({})).await;
    let deleted = Registered::with(&server, &json!({})).await;
    Registered::with(&server, &json!({})).await;
    let full = post(&server, None, &usual(&json!({}))).await;
    assert!(!full.refused_with(429, "temporarily_unavailable").header("retry-after").is_empty());

    // It is one network's share that is used up; the others have what is left of all.
    let from = async |address: &str| {
        let request = server.http().post(server.endpoint("registration_endpoint")).header("x-forwarded-for", address);
        Answer::of(request.json(&usual(&json!({})))).await
    };
    for other in 1..=9 {
        let address = format!("198.51.{other}.1");
        for _ in 0..3 {
            assert_eq!(from(&address).await.status, 201);
        }
        from(&address).await.refused_with(429, "temporarily_unavailable");
    }
    from("203.0.113.1").await.refused_with(429, "temporarily_unavailable");
    server
        .rows(
            "DELETE FROM clients WHERE registration_generation IS NOT NULL AND client_id NOT IN (SELECT client_id \
        FROM clients WHERE registration_generation IS NOT NULL ORDER BY created_at, client_id LIMIT 3)",
        )
        .await;

    used.client().tokens(&server.agent(), "openid").await;
    assert_eq!(deleted.delete().await.status, 204);
    // What the job does.
    let sweep = async || {
        server.work(async |tx| mooring::db::registrations::mark_used(tx).await).await;
        let before = server.clock.now() - TimeDelta::days(30);
        server.work(async |tx| clients::expire_unused(tx, before, 100).await).await
    };
    assert_eq!(sweep().await, 1, "the deleted one, which nobody had used");
    Registered::with(&server, &json!({})).await;
    // Of one that is used nobody remembers from where it was registered.
    let from_where = "SELECT count(*) FROM clients WHERE registered_from IS NULL AND used_at IS NOT NULL";
    assert_eq!(server.value(from_where).await, "1");
    server.advance(TimeDelta::days(31)).await;
    assert_eq!(sweep().await, 2);
    assert_eq!(server.value("SELECT count(*) FROM clients WHERE registration_generation IS NOT NULL").await, "1");
    assert_eq!(
        server.value("SELECT used_at IS NOT NULL FROM clients WHERE registration_generation IS NOT NULL").await,
        "t"
    );
    let told =
        "SELECT count(*) FROM audit_events WHERE action = 'client.deleted' AND actor = 'server' AND reason = 'unused'";
    assert_eq!(server.value(told).await, "2");
    used.get().await.ok();
}
