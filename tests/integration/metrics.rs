//! The figures for Prometheus: on a listener of their own, counted by route, and without anybody's secrets.

use std::net::SocketAddr;

use mooring::http::MetricsServer;

use crate::support::{ALICE, PASSWORD, Server, declared::SECRET};

async fn figures(server: &Server, metrics: &MetricsServer) -> String {
    let url = format!("http://{}/metrics", metrics.address());
    let answer = server.http().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"), "{answer:?}");
    answer.text().await.unwrap()
}

/// The value of a series, 0 while there is none. All servers of the process count together: only differences tell.
fn value(figures: &str, series: &str) -> f64 {
    let line = figures.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn requests_are_counted_and_nobody_is_told_of() {
    let server = Server::usual().await;
    let metrics = MetricsServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), server.app.clone()).unwrap();
    let before = figures(&server, &metrics).await;

    let (agent, client) = (server.agent(), server.client("web"));
    let page = agent.open(&client.request("openid").url()).await;
    agent.sign_in(&page, ALICE, "a wrong password").await;
    let code = client.code(&agent, "openid profile").await;
    let tokens = client.redeem(&code).await.tokens();
    client.redeem(&code).await.refused("invalid_grant");
    client.introspect(&tokens.access).await.ok();
    let nowhere = "/nowhere/with-a-secret-in-its-path";
    server.http().get(server.at(nowhere)).send().await.unwrap();
    let method = reqwest::Method::from_bytes(b"BREW").unwrap();
    server.http().request(method, server.at("/oauth/token")).send().await.unwrap();

    let after = figures(&server, &metrics).await;
    for (series, at_least) in [
        (r#"mooring_http_requests_total{route="/oauth/token",method="POST",status="200"}"#, 1.0),
        (r#"mooring_http_requests_total{route="/oauth/token",method="POST",status="400"}"#, 1.0),
        (r#"mooring_http_requests_total{route="/oauth/introspect",method="POST",status="200"}"#, 1.0),
        (r#"mooring_http_requests_total{route="/oauth/token",method="other",status="405"}"#, 1.0),
        (r#"mooring_http_requests_total{route="unmatched",method="GET",status="404"}"#, 1.0),
        (r#"mooring_http_request_duration_seconds_count{route="/oauth/token",method="POST"}"#, 2.0),
        (r#"mooring_refusals_total{reason="invalid_grant"}"#, 1.0),
    ] {
        let (was, is) = (value(&before, series), value(&after, series));
        assert!(is >= was + at_least, "{series}: {was}, then {is}\n{after}");
    }
    // The database's are this server's own.
    assert!(value(&after, "mooring_db_statements_total") > 0.0, "{after}");
    assert!(value(&after, r#"mooring_db_pool_connections{state="idle"}"#) > 0.0, "{after}");

    let sub = server.user_id(ALICE).await;
    let cookie = agent.cookie().value;
    for secret in [
        ALICE,
        PASSWORD,
        SECRET,
        &code.code,
        &tokens.access,
        &tokens.refresh,
        &tokens.id,
        &cookie,
        &sub,
        "mo_",
        "BREW",
        nowhere,
        "127.0.0.1",
    ] {
        assert!(!after.contains(secret), "{secret} is in\n{after}");
    }
    metrics.stop().await;
}

#[tokio::test]
async fn they_are_not_on_the_listener_of_the_product_nor_the_product_on_theirs() {
    let server = Server::usual().await;
    let metrics = MetricsServer::start(SocketAddr::from(([127, 0, 0, 1], 0)), server.app.clone()).unwrap();
    assert_eq!(server.http().get(server.at("/metrics")).send().await.unwrap().status(), 404);
    for path in ["/", "/healthz", "/oauth/jwks", "/.well-known/openid-configuration"] {
        let url = format!("http://{}{path}", metrics.address());
        assert_eq!(server.http().get(url).send().await.unwrap().status(), 404, "{path}");
    }
    metrics.stop().await;
}
