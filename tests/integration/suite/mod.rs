//! What the OpenID Foundation's conformance suite asks of a server, told by our own means, so that CI keeps what the suite
//! showed. A story is named after its module, as the suite spells it but for `-`, which is `_` here.
//!
//! | area | modules of the suite |
//! |---|---|
//! | [`discovery`] | `oidcc-discovery-endpoint-verification` |
//! | [`authorization`] | `oidcc-response-type-missing`, `oidcc-ensure-request-without-nonce-succeeds-for-code-flow`, `oidcc-alternate-happy-flow`, `oidcc-display-page`, `oidcc-display-popup`, `oidcc-ui-locales`, `oidcc-claims-locales`, `oidcc-ensure-request-with-unknown-parameter-succeeds`, `oidcc-ensure-post-request-succeeds`, `oidcc-ensure-registered-redirect-uri`, `oidcc-ensure-redirect-uri-in-authorization-request`, `oidcc-redirect-uri-query-OK`, `oidcc-redirect-uri-query-mismatch`, `oidcc-redirect-uri-query-added`; and what the form-post plans ask beyond them |
//! | [`prompt`] | `oidcc-prompt-login`, `oidcc-prompt-none-not-logged-in`, `oidcc-prompt-none-logged-in`, `oidcc-max-age-1`, `oidcc-max-age-10000`, `oidcc-id-token-hint`, `oidcc-login-hint` |
//! | [`claims`] | `oidcc-scope-profile`, `-email`, `-address`, `-phone`, `-all`, `oidcc-claims-essential`, `oidcc-ensure-request-with-acr-values-succeeds` |
//! | [`tokens`] | `oidcc-server`, `oidcc-server-client-secret-post`, `oidcc-idtoken-signature`, `oidcc-idtoken-rs256`, `oidcc-codereuse`, `oidcc-codereuse-30seconds`, `oidcc-refresh-token`, `oidcc-ensure-request-with-valid-pkce-succeeds`, `oidcc-ensure-client-assertion-with-iss-aud-succeeds` |
//! | [`userinfo`] | `oidcc-userinfo-get`, `oidcc-userinfo-post-header`, `oidcc-userinfo-post-body` |
//!
//! Elsewhere: the modules about registration, request objects, key rotation and logout, in the stories of those; and
//! `oidcc-idtoken-unsigned`, which asks for what is never done.

mod authorization;
mod claims;
mod discovery;
mod prompt;
mod tokens;
mod userinfo;

use serde_json::Value;

use crate::support::{
    Answer, Client, Server,
    agent::{Agent, Page},
    client::{Request, Tokens},
    token,
};

/// The suite's usual client: confidential, by `client_secret_basic`, without PKCE.
fn party(server: &Server) -> Client<'_> {
    server.client("lax")
}

fn request(client: &Client<'_>, scope: &str) -> Request {
    // Long and random, as the suite's are.
    let state = mooring::jose::base64url(&mooring::jose::random_bytes::<96>());
    client.request(scope).without("code_challenge").without("code_challenge_method").with("state", &state)
}

/// Redeems as OpenID Connect has it: with the redirect URI.
async fn redeem(client: &Client<'_>, code: &str) -> Answer {
    let form = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", &client.redirect_uri)];
    client.token(&form).await
}

/// A whole flow, with what every module checks on the way.
async fn flow(client: &Client<'_>, agent: &Agent, request: &Request) -> Tokens {
    let page = agent.walk(&request.url(), "alice").await;
    finish(client, request, &page).await
}

/// From the answer of the authorization endpoint to userinfo.
async fn finish(client: &Client<'_>, request: &Request, page: &Page) -> Tokens {
    let code = code(client.server, request, page);
    let tokens = redeem(client, &code).await.tokens();
    id_token(client, request, &tokens.id).await;
    client.userinfo(&tokens.access).await.ok();
    tokens
}

fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// The code, and nothing beside it but what belongs there (RFC 9207 §2).
fn code(server: &Server, request: &Request, page: &Page) -> String {
    let answer = page.answer();
    assert_eq!(answer.get("state").map(String::as_str), parameter(request, "state"), "{answer:?}");
    assert_eq!(answer["iss"], server.issuer);
    let code = &answer["code"];
    // At least 128 bits of length, and 96 of what looks like chance.
    assert!(code.len() >= 32 && code.bytes().all(|octet| octet.is_ascii_graphic()), "{code}");
    code.clone()
}

/// An error, told where the client listens and in the form that the suite accepts (RFC 6749 §4.1.2.1).
fn error(server: &Server, request: &Request, page: &Page) -> String {
    let answer = page.answer();
    assert_eq!(answer.get("state").map(String::as_str), parameter(request, "state"), "{answer:?}");
    assert_eq!(answer["iss"], server.issuer);
    let own = ["error", "error_description", "error_uri", "state", "iss"];
    assert!(answer.keys().all(|name| own.contains(&name.as_str())), "{answer:?}");
    let allowed = |octet: u8| matches!(octet, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(answer["error_description"].bytes().all(allowed), "{answer:?}");
    answer["error"].clone()
}

/// OIDC Core §3.1.3.7, and no claim that nobody asked for.
async fn id_token(client: &Client<'_>, request: &Request, token: &str) -> Value {
    let jwt = token::verify(client.server, token).await;
    let claims = jwt.claims;
    assert_eq!(claims["aud"], client.id.as_str());
    assert_eq!(claims["azp"], client.id.as_str());
    assert_eq!(claims["nonce"].as_str(), parameter(request, "nonce"));
    assert!(claims["sub"].as_str().is_some_and(|sub| !sub.is_empty() && sub.len() <= 255 && sub.is_ascii()));
    assert!(claims["acr"].as_str().is_some_and(|acr| !acr.is_empty()));
    let now = client.server.clock.now().timestamp();
    let auth_time = claims["auth_time"].as_i64().expect("auth_time is a number");
    assert!((now - 365 * 86400..=now).contains(&auth_time), "{claims}");
    let usual = ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"];
    assert!(claims.as_object().expect("claims").keys().all(|name| usual.contains(&name.as_str())), "{claims}");
    claims
}
