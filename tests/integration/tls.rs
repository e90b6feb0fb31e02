//! A server that speaks TLS itself: the main job over https, and what https adds to cookies and headers.

use mooring::{audit::Actor, sessions};
use uuid::Uuid;

use crate::support::{
    ALICE, PASSWORD, Server, Settings, client::Code, declared::REDIRECT_URI, server::certificate, token,
};

async fn over_tls() -> Server {
    Server::start(Settings::default().tls()).await
}

#[tokio::test]
async fn a_session_carries_everything_over_https() {
    let server = over_tls().await;
    assert!(server.issuer.starts_with("https://localhost:"), "{}", server.issuer);
    for endpoint in
        ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"]
    {
        assert!(server.endpoint(endpoint).starts_with(&server.issuer), "{endpoint}");
    }
    for id in ["web", "pkj"] {
        let (client, agent) = (server.client(id), server.agent());
        let request = client.request("openid profile");
        let page = agent.open(&request.url()).await;
        assert!(page.asks_for_password(), "{}", page.body);
        let page = agent.sign_in(&page, ALICE, PASSWORD).await;
        let page = if page.offers("allow") { agent.decide(&page, "allow").await } else { page };
        assert!(page.location().unwrap().as_str().starts_with(REDIRECT_URI));
        assert_eq!(page.answer()["iss"], server.issuer);
        let code = Code { code: page.code(), verifier: request.verifier.clone() };
        let tokens = client.redeem(&code).await.tokens();
        let sid = token::verify(&server, &tokens.id).await.claims["sid"].clone();
        assert_eq!(client.introspect(&tokens.access).await.ok()["sid"], sid);
        assert_eq!(client.userinfo(&tokens.access).await.ok()["name"], "Alice Example");
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        let sid: Uuid = sid.as_str().unwrap().parse().unwrap();
        let ended = server
            .work(async |tx| {
                let session = mooring::db::sessions::resolve(tx, sid).await?[0];
                sessions::end(tx, session, "ended_by_operator", Actor::Operator).await
            })
            .await;
        assert!(ended);
        assert!(!client.is_active(&refreshed.access).await);
        client.refresh(&refreshed.refresh).await.refused("invalid_grant");
    }
}

#[tokio::test]
async fn the_cookie_is_for_this_host_and_for_https_only() {
    let server = over_tls().await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    let visitor = agent.cookie();
    agent.sign_in(&page, ALICE, PASSWORD).await;
    // RFC 6265bis §4.1.3.2: with this prefix browsers insist on Secure, Path=/ and no Domain.
    for cookie in [visitor, agent.cookie()] {
        assert!(cookie.name.starts_with("__Host-"), "{cookie:?}");
        let has = |wanted: &str| cookie.attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(wanted));
        assert!(["Secure", "HttpOnly", "SameSite=Lax", "Path=/"].into_iter().all(has), "{cookie:?}");
        assert!(
            !cookie.attributes.iter().any(|attribute| attribute.to_lowercase().starts_with("domain")),
            "{cookie:?}"
        );
    }
}

/// RFC 6797 §7: over https on every answer, over http on none.
#[tokio::test]
async fn browsers_are_told_to_stay_with_https() {
    let (secure, plain) = (over_tls().await, Server::usual().await);
    for path in ["/", "/login", "/oauth/jwks", "/healthz", "/nowhere", "/oauth/token"] {
        let page = secure.agent().step(&secure.at(path)).await;
        let header = page.header("strict-transport-security");
        let age = header.split(';').find_map(|part| part.trim().strip_prefix("max-age=")).unwrap_or_default();
        assert!(age.parse::<u32>().is_ok_and(|seconds| seconds >= 31_536_000), "{path}: {header:?}");
        assert_eq!(plain.agent().step(&plain.at(path)).await.header("strict-transport-security"), "", "{path}");
    }
}

#[tokio::test]
async fn nobody_is_spoken_to_in_the_clear() {
    let server = over_tls().await;
    let address = server.issuer.replacen("https", "http", 1);
    let answer = server.http().get(format!("{address}/healthz")).send().await;
    assert!(answer.is_err(), "{answer:?}");
    // And the certificate is the one that was named: whoever does not trust its authority does not connect.
    let distrusting = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(reqwest::Certificate::from_pem(&std::fs::read(certificate("other-ca.pem")).unwrap()))
        .build()
        .unwrap();
    assert!(distrusting.get(server.at("/healthz")).send().await.is_err());
}
