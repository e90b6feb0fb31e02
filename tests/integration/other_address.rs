//! Pages under another address than the issuer's, where none of their buttons could work.

use url::Url;

use crate::support::{Answer, Server, Settings, browser::Browser, process::Installation};

fn port(server: &Server) -> u16 {
    server.app.config.listen.port()
}

/// Opens a path of the server as a browser that came by this host, with further headers.
async fn by(server: &Server, host: &str, path: &str, more: &[(&str, &str)]) -> Answer {
    let url = format!("http://localhost:{}{path}", port(server));
    let mut request = server.http().get(url).header("host", host).header("accept", "text/html");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    Answer::of(request).await
}

#[track_caller]
fn is_sent_to(answer: &Answer, address: &str) {
    assert_eq!((answer.status, answer.header("location")), (303, address), "{answer:?}");
}

/// A page that names both addresses, and leads to the issuer's alone.
#[track_caller]
fn names_both(answer: &Answer, seen: &str, issuer: &str) {
    assert_eq!((answer.status, answer.header("location")), (421, ""), "{answer:?}");
    let text = answer.text.replace("&#x2f;", "/");
    assert!(text.contains(seen) && text.contains(&format!("href=\"{issuer}")), "{text}");
    assert!(!text.contains("<form"), "{text}");
}

const PAGES: [&str; 6] = ["/", "/login", "/account", "/hub", "/login?confirm=account&x=%20y", "/oauth/end_session"];

#[tokio::test]
async fn another_name_of_this_machine_leads_to_the_issuer() {
    let server = Server::usual().await;
    let port = port(&server);
    let names = ["127.0.0.1", "[::1]", "127.9.9.9", "id.localhost", "0.0.0.0", "localhost."];
    for host in names.map(|name| format!("{name}:{port}")) {
        for path in PAGES {
            is_sent_to(&by(&server, &host, path, &[]).await, &server.at(path));
        }
    }
    for own in ["localhost", "LOCALHOST"].map(|name| format!("{name}:{port}")) {
        assert_eq!(by(&server, &own, "/login", &[]).await.status, 200, "{own}");
    }
    // A whole authorization request too.
    let url = server.client("web").request("openid").url();
    let path = url.strip_prefix(&server.issuer).unwrap();
    is_sent_to(&by(&server, &format!("127.0.0.1:{port}"), path, &[]).await, &url);
}

#[tokio::test]
async fn where_the_issuer_cannot_be_reached_a_page_says_so() {
    let server = Server::usual().await;
    let here = port(&server);
    for host in [
        format!("192.168.1.5:{here}"),
        format!("[fd00::5]:{here}"),
        format!("harbour.local:{here}"),
        format!("localhost:{}", here ^ 1),
        "localhost".to_owned(),
        "127.0.0.1:80".to_owned(),
        "quiet-river.tunnel.example".to_owned(),
    ] {
        for path in PAGES {
            names_both(&by(&server, &host, path, &[]).await, &host, &server.issuer);
        }
    }
    for odd in ["<script>alert(1)</script>", "a b", "x@evil.example", "\"'>"] {
        let answer = by(&server, odd, "/login", &[]).await;
        assert!([400, 421].contains(&answer.status) && !answer.text.contains("<script>alert"), "{odd}: {answer:?}");
    }
}

#[tokio::test]
async fn clients_and_probes_come_by_any_name() {
    let server = Server::usual().await;
    for host in ["127.0.0.1:1", "mooring.svc.cluster.local", "evil.example"] {
        for path in [
            "/healthz",
            "/readyz",
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server",
            "/oauth/jwks",
            "/hub/api/v1/openapi.json",
        ] {
            assert_eq!(by(&server, host, path, &[]).await.status, 200, "{host}{path}");
        }
        assert_eq!(by(&server, host, "/oauth/userinfo", &[]).await.status, 401);
        let call = server.http().post(server.at("/oauth/token")).header("host", host).basic_auth("machine", Some("x"));
        assert_eq!(Answer::of(call.form(&[("grant_type", "client_credentials")])).await.status, 401);
        let asset = by(&server, host, "/assets/mooring.css", &[]).await;
        assert_ne!(asset.status, 421, "the page needs its style sheet");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_by_what_name_it_was_reached() {
    let settings = Settings::default().set("issuer", "https://id.example").set("trusted_proxies", "127.0.0.0/8,::1");
    let server = Server::start(settings).await;
    let inner = format!("mooring:{}", port(&server));
    for (name, value) in [
        ("x-forwarded-host", "id.example"),
        ("x-forwarded-host", "id.example:443"),
        ("forwarded", "for=192.0.2.1;proto=https;host=id.example"),
        ("forwarded", "for=192.0.2.1;Host=\"id.example:443\""),
        ("x-forwarded-host", "id.example, inner.example"),
    ] {
        assert_eq!(by(&server, &inner, "/login", &[(name, value)]).await.status, 200, "{name}: {value}");
    }
    for (name, value) in [
        ("x-forwarded-host", "old.example"),
        ("forwarded", "for=192.0.2.1;host=192.0.2.7"),
        ("x-forwarded-host", "id.example.evil.example"),
    ] {
        for host in [inner.as_str(), "id.example"] {
            is_sent_to(&by(&server, host, "/login?x=y", &[(name, value)]).await, "https://id.example/login?x=y");
        }
    }
    // One that says nothing passes the name on, or not.
    assert_eq!(by(&server, "id.example", "/login", &[]).await.status, 200);
    is_sent_to(&by(&server, "www.id.example", "/login", &[]).await, "https://id.example/login");
}

#[tokio::test]
async fn strangers_have_no_say_in_where_a_browser_goes() {
    let server = Server::usual().await;
    let own = format!("localhost:{}", port(&server));
    for name in ["x-forwarded-host", "forwarded"] {
        let evil = if name == "forwarded" { "host=evil.example" } else { "evil.example" };
        assert_eq!(by(&server, &own, "/login", &[(name, evil)]).await.status, 200, "{name}");
        let answer = by(&server, &format!("127.0.0.1:{}", port(&server)), "/login", &[(name, evil)]).await;
        is_sent_to(&answer, &server.at("/login"));
    }
    for path in ["//evil.example/login", "/\\evil.example", "/login//evil.example", "/login?next=https://evil.example"]
    {
        let answer = by(&server, &format!("127.0.0.1:{}", port(&server)), path, &[]).await;
        let location = answer.header("location");
        assert!(location.is_empty() || location.starts_with(&format!("{}/", server.issuer)), "{path}: {location}");
    }
}

/// A proxy that calls the server by a name of its own, and says nothing, is served: at the latest when the browser comes back.
#[tokio::test]
async fn nobody_is_sent_round_in_circles() {
    let server = Server::start(Settings::default().set("issuer", "https://id.example")).await;
    let navigates = ("sec-fetch-mode", "navigate");
    for host in [format!("127.0.0.1:{}", port(&server)), "mooring.internal:8080".to_owned()] {
        let first = by(&server, &host, "/login", &[navigates]).await;
        is_sent_to(&first, "https://id.example/login");
        let set = first.header("set-cookie").to_owned();
        assert!(set.starts_with("__Host-mooring_sent=") && set.contains("Secure") && set.contains("Max-Age"), "{set}");
        let cookie = set.split(';').next().unwrap();
        let again = by(&server, &host, "/login", &[navigates, ("cookie", cookie)]).await;
        assert_eq!(again.status, 200, "{again:?}");
    }
}

#[tokio::test]
async fn below_a_path_the_whole_address_is_kept() {
    let server = Server::start(Settings::default().path("/tenant")).await;
    let host = format!("127.0.0.1:{}", port(&server));
    for path in ["/tenant", "/tenant/", "/tenant/login?x=1"] {
        let origin = server.issuer.strip_suffix("/tenant").unwrap();
        is_sent_to(&by(&server, &host, path, &[]).await, &format!("{origin}{path}"));
    }
    assert_eq!(by(&server, &host, "/healthz", &[]).await.status, 200);
}

/// The operator is told once, not once a page.
#[tokio::test]
async fn the_log_warns_once() {
    let here = Installation::new("");
    let running = here.serve_logging("warn");
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    for _ in 0..3 {
        for path in ["/login", "/account"] {
            let request = http.get(running.at(path)).header("host", "quiet-river.tunnel.example");
            assert_eq!(request.send().await.unwrap().status(), 421);
        }
    }
    let log = here.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("quiet-river.tunnel.example")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("WARN") && lines[0].contains("localhost") && lines[0].contains("trusted_proxies"),
        "{log}"
    );
}

#[tokio::test]
async fn a_browser_at_127_0_0_1_signs_in() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    browser.client.goto(&format!("http://127.0.0.1:{}/account", port(&server))).await.unwrap();
    browser.sign_in_as(crate::support::ALICE, crate::support::PASSWORD).await;
    browser.arrives_at("Alice Example").await;
    let at = browser.client.current_url().await.unwrap();
    assert_eq!(at.origin(), Url::parse(&server.issuer).unwrap().origin());
}

/// Password managers know these addresses by heart.
#[tokio::test]
async fn well_known_addresses_lead_to_the_account() {
    for path in ["", "/tenant"] {
        let server = Server::start(Settings::default().path(path)).await;
        let origin = server.issuer.strip_suffix(path).unwrap();
        let get = async |url: String| Answer::of(server.http().get(url)).await;
        let change = get(format!("{origin}/.well-known/change-password")).await;
        is_sent_to(&change, &server.at("/account/password"));
        let endpoints = get(format!("{origin}/.well-known/passkey-endpoints")).await;
        assert!(endpoints.header("content-type").starts_with("application/json"), "{endpoints:?}");
        let told: serde_json::Value = serde_json::from_str(&endpoints.text).unwrap();
        for name in ["enroll", "manage"] {
            assert!(told[name].as_str().unwrap().starts_with(&server.at("/account")), "{told}");
        }
        // Whoever is not signed in comes to their password by the sign-in page.
        let agent = server.agent();
        let page = agent.open(&server.at("/account/password")).await;
        let page = agent.sign_in(&page, crate::support::ALICE, crate::support::PASSWORD).await;
        assert!(page.url.path().ends_with("/account/password"), "{}", page.url);
    }
    let addressed = Server::start(Settings::default().set("issuer", "https://127.0.0.1")).await;
    let url = format!("http://localhost:{}/.well-known/passkey-endpoints", port(&addressed));
    assert_eq!(Answer::of(addressed.http().get(url)).await.status, 404);
}
