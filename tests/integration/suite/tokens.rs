//! The token endpoint: codes once, refresh tokens for their client, ID tokens that add up.

use chrono::TimeDelta;
use serde_json::json;

use super::{code, flow, id_token, parameter, party, redeem, request};
use crate::support::{Client, Method, Server, client::Code, declared::SECRET, token};

#[tokio::test]
async fn oidcc_server() {
    let server = Server::usual().await;
    let client = party(&server);
    let asked = request(&client, "openid");
    let page = server.agent().walk(&asked.url(), "alice").await;
    let answer = redeem(&client, &code(&server, &asked, &page)).await;
    let tokens = answer.tokens();
    assert!(tokens.all["expires_in"].is_u64(), "RFC 6749 §5.1 recommends it: {}", tokens.all);
    let claims = id_token(&client, &asked, &tokens.id).await;
    // OIDC Core §3.1.3.6.
    let half = &mooring::jose::sha256(&[tokens.access.as_bytes()])[..16];
    assert_eq!(claims["at_hash"], mooring::jose::base64url(half));
    client.userinfo(&tokens.access).await.ok();
}

#[tokio::test]
async fn oidcc_server_client_secret_post() {
    let server = Server::usual().await;
    let client = server.client("post");
    assert_eq!(client.method, Method::Post(SECRET.to_owned()));
    let tokens = client.tokens(&server.agent(), "openid").await;
    client.userinfo(&tokens.access).await.ok();
}

/// By default RS256; ES256 and EdDSA for whoever is registered for them; each with the key's name.
#[tokio::test]
async fn oidcc_idtoken_signature() {
    let server = Server::usual().await;
    for (id, algorithm) in [("web", "RS256"), ("es256", "ES256"), ("eddsa", "EdDSA")] {
        let tokens = server.client(id).tokens(&server.agent(), "openid").await;
        let header = token::verify(&server, &tokens.id).await.header;
        assert_eq!(json!(header.alg), algorithm);
        assert!(header.kid.is_some_and(|kid| !kid.is_empty()));
    }
}

#[tokio::test]
async fn oidcc_idtoken_rs256() {
    let server = Server::usual().await;
    let client = party(&server);
    let tokens = flow(&client, &server.agent(), &request(&client, "openid")).await;
    assert_eq!(json!(token::verify(&server, &tokens.id).await.header.alg), "RS256");
}

async fn reuse(pause: TimeDelta) {
    let server = Server::usual().await;
    let client = party(&server);
    let asked = request(&client, "openid");
    let page = server.agent().walk(&asked.url(), "alice").await;
    let code = code(&server, &asked, &page);
    let tokens = redeem(&client, &code).await.tokens();
    client.userinfo(&tokens.access).await.ok();
    server.advance(pause).await;
    redeem(&client, &code).await.refused("invalid_grant");
    // RFC 6749 §4.1.2: what came of it is revoked.
    client.userinfo(&tokens.access).await.token_refused();
}

#[tokio::test]
async fn oidcc_codereuse() {
    reuse(TimeDelta::zero()).await;
}

#[tokio::test]
async fn oidcc_codereuse_30seconds() {
    reuse(TimeDelta::seconds(30)).await;
}

/// OIDC Core §12.2: the second ID token speaks of the same sign-in; and the token is the client's alone.
#[tokio::test]
async fn oidcc_refresh_token() {
    let server = Server::usual().await;
    let (client, second) = (party(&server), server.client("web2"));
    let agent = server.agent();
    let asked = request(&client, "openid offline_access").with("prompt", "consent");
    let page = agent.walk(&asked.url(), "alice").await;
    let first = redeem(&client, &code(&server, &asked, &page)).await.tokens();
    assert!(first.refresh.len() >= 32 && first.refresh.bytes().all(|octet| octet.is_ascii_graphic()));
    server.advance(TimeDelta::seconds(1)).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &first.refresh), ("scope", "openid offline_access")];
    let fresh = client.token(&form).await.tokens();
    let (before, after) = (token::claims(&first.id), token::verify(&server, &fresh.id).await.claims);
    for same in ["iss", "sub", "aud", "azp", "auth_time", "acr", "sid"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after["iat"].as_i64() > before["iat"].as_i64());
    assert!(after.get("nonce").is_none_or(|nonce| nonce.as_str() == parameter(&asked, "nonce")));
    assert_ne!(first.access, fresh.access);
    client.userinfo(&fresh.access).await.ok();

    let theirs = second.tokens(&agent, "openid offline_access").await.refresh;
    client.refresh(&theirs).await.refused("invalid_grant");
    second.refresh(&theirs).await.tokens();
}

#[tokio::test]
async fn oidcc_ensure_request_with_valid_pkce_succeeds() {
    let server = Server::usual().await;
    let client = party(&server);
    let asked = client.request("openid");
    let page = server.agent().walk(&asked.url(), "alice").await;
    let code = Code { code: page.code(), verifier: asked.verifier.clone() };
    // A challenge counts although this client need not send one.
    redeem(&client, &code.code).await.refused("invalid_grant");
    client.redeem(&code).await.tokens();
}

#[tokio::test]
async fn oidcc_ensure_client_assertion_with_iss_aud_succeeds() {
    let server = Server::usual().await;
    let client: Client<'_> = server.client("pkj");
    let asked = client.request("openid");
    let page = server.agent().walk(&asked.url(), "alice").await;
    let form = |audience: &str| {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", page.code()),
            ("code_verifier", asked.verifier.clone()),
            ("redirect_uri", client.redirect_uri.clone()),
            ("client_assertion_type", mooring::jose::CLIENT_ASSERTION_TYPE.to_owned()),
            ("client_assertion", client.assertion(&json!({ "aud": audience }))),
        ]
    };
    let url = server.endpoint("token_endpoint");
    let ask = async |audience: &str| crate::support::Answer::of(server.http().post(&url).form(&form(audience))).await;
    ask("https://op.example/").await.refused("invalid_client");
    ask(&server.issuer).await.tokens();
}
