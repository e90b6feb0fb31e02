//! Bad input at every door: nothing breaks, and every refusal is one of the specifications'. The cases are the same each
//! time; the unit tests of the parsers look further, and `fuzz/` as far as one likes.

use std::collections::HashMap;

use proptest::{
    prelude::*,
    sample::select,
    strategy::{BoxedStrategy, ValueTree},
    test_runner::TestRunner,
};
use reqwest::{
    Method,
    header::{AUTHORIZATION, COOKIE, HeaderValue, LOCATION},
};
use serde_json::{Value, json};

use crate::support::{
    Answer, Server, Settings,
    client::basic,
    declared::{REDIRECT_URI, SECRET, WEB_REDIRECT_URI},
};

/// RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 7009 §2.2.1, RFC 7591 §3.2.2, RFC 8707 §2, RFC 9126 §2.3, OIDC Core §3.1.2.6.
const ERRORS: [&str; 25] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "unsupported_token_type",
    "invalid_scope",
    "access_denied",
    "temporarily_unavailable",
    "invalid_token",
    "insufficient_scope",
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
    "request_not_supported",
    "request_uri_not_supported",
    "registration_not_supported",
    "invalid_request_object",
    "invalid_request_uri",
    "unmet_authentication_requirements",
    "invalid_target",
    "invalid_redirect_uri",
    "invalid_client_metadata",
];

/// Draws cases; the same ones each time.
struct Dice(TestRunner);

impl Dice {
    fn new() -> Self {
        Self(TestRunner::deterministic())
    }

    fn draw<T: std::fmt::Debug>(&mut self, strategy: &BoxedStrategy<T>) -> T {
        strategy.new_tree(&mut self.0).expect("a case").current()
    }
}

fn text() -> BoxedStrategy<String> {
    let known = select(vec![
        "",
        " ",
        "\0",
        "\u{202e}x",
        "%",
        "%00",
        "%zz",
        "..",
        "a.b.c",
        "&&==",
        "\"\\",
        "\r\nx: y",
        "-1",
        "0",
        "1e999",
        "99999999999999999999",
        "none",
        "none login",
        "login consent",
        "openid",
        "openid offline_access",
        "code",
        "token",
        "query",
        "form_post",
        "fragment",
        "jwt",
        "S256",
        "web",
        "lax",
        "spa",
        "nobody",
        REDIRECT_URI,
        WEB_REDIRECT_URI,
        "https://evil.example/",
        "javascript:alert(1)",
        "{}",
        "[[[[[[",
        "{\"id_token\":{\"acr\":{\"essential\":true}}}",
        "{\"userinfo\":{\"sub\":{\"value\":7}}}",
        "urn:ietf:params:oauth:request_uri:x",
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "mo_at_",
        "mo_rt_AAAA",
        "mo_ac_AAAAAAAA",
        "eyJhbGciOiJub25lIn0.e30.",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "00000000-0000-0000-0000-000000000000",
    ]);
    prop_oneof![
        8 => known.prop_map(str::to_owned),
        3 => any::<String>(),
        1 => "[ -~]{0,300}",
        1 => "[a-zA-Z0-9_-]{40,90}",
        1 => Just("x".repeat(9000)),
    ]
    .boxed()
}

/// A form or query: parameters that are looked for, and some that are not.
fn pairs(names: &'static [&'static str]) -> BoxedStrategy<Vec<(String, String)>> {
    let name = prop_oneof![12 => select(names).prop_map(str::to_owned), 1 => text()];
    prop::collection::vec((name, text()), 0..9).boxed()
}

const AUTHORIZE: &[&str] = &[
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
    "claims_locales",
    "display",
    "resource",
    "request",
    "request_uri",
    "registration",
];
const TOKEN: &[&str] = &[
    "grant_type",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
    "scope",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "token",
    "token_type_hint",
];
const PAGES: &[&str] = &[
    "request",
    "csrf",
    "username",
    "password",
    "decision",
    "session",
    "client_id",
    "token",
    "as",
    "id_token_hint",
    "post_logout_redirect_uri",
    "state",
    "done",
];

/// A good request with something else in it, or only something else.
fn mixed(
    dice: &mut Dice,
    good: &[(String, String)],
    strategy: &BoxedStrategy<Vec<(String, String)>>,
) -> Vec<(String, String)> {
    let drawn = dice.draw(strategy);
    if dice.draw(&any::<bool>().boxed()) {
        return drawn;
    }
    let kept = good.iter().filter(|(name, _)| !drawn.iter().any(|(other, _)| other == name)).cloned();
    kept.chain(drawn.iter().cloned()).collect()
}

/// Not broken, and an error that somebody else has defined.
#[track_caller]
fn is_judged(answer: &Answer, what: &impl std::fmt::Debug) {
    assert!(answer.status < 500, "{what:?}\n{answer:?}");
    let is_json = answer.header("content-type").starts_with("application/json");
    if answer.status >= 400 && is_json {
        let body = answer.json();
        assert!(body["error"].as_str().is_some_and(|error| ERRORS.contains(&error)), "{what:?}\n{body}");
        let allowed = |octet: u8| matches!(octet, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let description = body["error_description"].as_str().unwrap_or_default();
        assert!(description.bytes().all(allowed), "{what:?}\n{body}");
    }
    // RFC 9110 §15.5.2.
    assert!(answer.status != 401 || !is_json || answer.headers.contains_key("www-authenticate"), "{answer:?}");
}

#[tokio::test]
async fn at_the_authorization_endpoint() {
    let server = Server::usual().await;
    let mut dice = Dice::new();
    let good = server.client("web").request("openid").parameters;
    let (strategy, junk) = (pairs(AUTHORIZE), text());
    let url = server.endpoint("authorization_endpoint");
    for _ in 0..300 {
        let parameters = mixed(&mut dice, &good, &strategy);
        let mut address = url::Url::parse_with_params(&url, &parameters).expect("a URL");
        if dice.draw(&any::<u8>().boxed()) < 40 {
            let raw = format!("{}&{}", address.query().unwrap_or_default(), dice.draw(&junk));
            address.set_query(Some(&raw));
        }
        let by_form = dice.draw(&any::<bool>().boxed());
        let request = if by_form { server.http().post(&url).form(&parameters) } else { server.http().get(address) };
        let answer = Answer::of(request).await;
        is_judged(&answer, &parameters);
        let Some(location) = answer.headers.get(LOCATION) else { continue };
        let location = url::Url::parse(location.to_str().expect("ASCII")).expect("a URL");
        if location.as_str().starts_with(&server.issuer) {
            continue;
        }
        // Nobody is signed in: there is nothing to be told but an error, at a place that is registered.
        assert!([REDIRECT_URI, WEB_REDIRECT_URI].iter().any(|uri| location.as_str().starts_with(uri)), "{location}");
        // An error for a client that asked for a token listens in the fragment.
        let told = location.fragment().or_else(|| location.query()).unwrap_or_default();
        let told: HashMap<_, _> = url::form_urlencoded::parse(told.as_bytes()).into_owned().collect();
        if let Some(error) = told.get("error") {
            assert!(ERRORS.contains(&error.as_str()), "{told:?}");
        } else {
            assert!(told.contains_key("response"), "{told:?}");
        }
    }
    server.client("web").tokens(&server.agent(), "openid").await;
}

#[tokio::test]
async fn at_the_endpoints_that_clients_call() {
    let server = Server::usual().await;
    let mut dice = Dice::new();
    let (strategy, text) = (pairs(TOKEN), text());
    let client = server.client("web");
    let agent = server.agent();
    let code = client.code(&agent, "openid").await;
    let good: Vec<(String, String)> =
        code.form(REDIRECT_URI).map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let endpoints =
        ["token_endpoint", "introspection_endpoint", "revocation_endpoint"].map(|name| server.endpoint(name));
    for turn in 0..300 {
        let url = &endpoints[turn % endpoints.len()];
        let parameters = mixed(&mut dice, &good, &strategy);
        let mut request = server.http().post(url);
        let drawn = dice.draw(&text);
        let header = match turn % 4 {
            0 => Some(basic("web", SECRET)),
            1 => Some(format!("Basic {drawn}")),
            2 => Some(basic(&drawn, &dice.draw(&text))),
            _ => None,
        };
        if let Some(header) = header.and_then(|header| HeaderValue::from_bytes(header.as_bytes()).ok()) {
            request = request.header(AUTHORIZATION, header);
        }
        request = if turn % 11 == 0 {
            request.header("content-type", "application/x-www-form-urlencoded").body(drawn)
        } else {
            request.form(&parameters)
        };
        is_judged(&Answer::of(request).await, &parameters);
    }
    let url = server.endpoint("userinfo_endpoint");
    for turn in 0..100 {
        let token = dice.draw(&text);
        let request = match HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()) {
            Ok(header) if turn % 2 == 0 => server.http().get(&url).header(AUTHORIZATION, header),
            _ => server.http().post(&url).form(&[("access_token", &token)]),
        };
        let answer = Answer::of(request).await;
        // RFC 6750 §3.1: whoever presents nothing is told no error.
        if answer.text == "{}" {
            assert!(token.trim().is_empty() && answer.header("www-authenticate") == "Bearer", "{token:?}\n{answer:?}");
        } else {
            is_judged(&answer, &token);
        }
        assert!(answer.status >= 400, "{answer:?}");
    }
    client.tokens(&agent, "openid").await;
}

/// Assertions that are signed as they should be and say nonsense.
#[tokio::test]
async fn in_client_assertions() {
    let server = Server::usual().await;
    let mut dice = Dice::new();
    let client = server.client("pkj");
    let text = text();
    let value = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!([])),
        Just(json!({ "a": [null] })),
        Just(Value::Null),
    ]
    .boxed();
    for turn in 0..120 {
        let name = ["iss", "sub", "aud", "jti", "exp", "nbf", "iat", "unheard-of"][turn % 8];
        let changes = json!({ name: dice.draw(&value) });
        let mut assertion = client.assertion(&changes);
        if turn % 5 == 0 {
            let at = assertion.char_indices().nth(turn % 40).map_or(0, |(at, _)| at);
            assertion.replace_range(at..=at, "!");
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("client_assertion_type", mooring::jose::CLIENT_ASSERTION_TYPE),
            ("client_assertion", &assertion),
        ];
        let answer = Answer::of(server.http().post(server.endpoint("token_endpoint")).form(&form)).await;
        is_judged(&answer, &changes);
        // It is the code that is wrong where the assertion is right.
        let error = answer.json()["error"].clone();
        assert!(
            ["invalid_client", "invalid_grant", "invalid_request"].iter().any(|known| error == *known),
            "{changes}: {error}"
        );
    }
}

/// Pages, cookies, and what proxies say: a person's browser may be anybody's script.
#[tokio::test]
async fn on_pages_and_in_headers() {
    let server = Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await;
    let mut dice = Dice::new();
    let (strategy, text) = (pairs(PAGES), text());
    let paths =
        ["/login", "/consent", "/select-account", "/account", "/account/end", "/oauth/end_session", "/set-up", "/"];
    for turn in 0..300 {
        let parameters = dice.draw(&strategy);
        let drawn = dice.draw(&text);
        let mut address = url::Url::parse(&server.at(paths[turn % paths.len()])).expect("a URL");
        if turn % 9 == 0 {
            address = url::Url::parse(&server.at("/oauth/authorize")).expect("a URL");
            address.path_segments_mut().expect("a base").push(&drawn);
        }
        let method = if turn % 2 == 0 { Method::GET } else { Method::POST };
        let mut request = server.http().request(method.clone(), address.clone());
        request = if method == Method::GET { request.query(&parameters) } else { request.form(&parameters) };
        for (name, value) in [
            (COOKIE.as_str(), format!("{}={drawn}; {drawn}", server.app.cookies.name())),
            ("x-forwarded-for", drawn.clone()),
            ("user-agent", drawn.clone()),
            ("origin", drawn.clone()),
            ("accept-language", drawn.clone()),
        ] {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                request = request.header(name, value);
            }
        }
        is_judged(&Answer::of(request).await, &(address, parameters));
    }
    server.client("web").tokens(&server.agent(), "openid").await;
}

#[tokio::test]
async fn in_client_metadata() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let mut dice = Dice::new();
    let text = text();
    let names = select(vec![
        "redirect_uris",
        "grant_types",
        "response_types",
        "token_endpoint_auth_method",
        "client_name",
        "logo_uri",
        "jwks",
        "jwks_uri",
        "scope",
        "contacts",
        "default_max_age",
        "subject_type",
        "initiate_login_uri",
        "request_uris",
        "backchannel_logout_uri",
        "id_token_signed_response_alg",
        "client_secret",
        "client_id",
        "visitors",
    ]);
    let value = prop_oneof![
        text.clone().prop_map(Value::from),
        prop::collection::vec(text.clone(), 0..4).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!({ "keys": [{ "kty": "RSA" }] })),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
    ];
    let members = prop::collection::vec((names, value), 0..4).boxed();
    let url = server.endpoint("registration_endpoint");
    for turn in 0..120 {
        let mut metadata = json!({ "redirect_uris": [REDIRECT_URI] });
        for (name, value) in dice.draw(&members) {
            metadata[name] = value;
        }
        let body = if turn % 10 == 0 { dice.draw(&text) } else { metadata.to_string() };
        let answer =
            Answer::of(server.http().post(&url).header("content-type", "application/json").body(body.clone())).await;
        is_judged(&answer, &body);
    }
}
