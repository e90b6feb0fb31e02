use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;

fn outbound(allow: &[&str]) -> Outbound {
    let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
    Outbound::new(&config::Outbound { trust: Vec::new(), allow }).unwrap()
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let answers = [
        ("/keys", ResponseTemplate::new(200).set_body_json(json!({ "keys": [] }))),
        ("/text", ResponseTemplate::new(200).set_body_string("no JSON")),
        ("/long", ResponseTemplate::new(200).set_body_string("1".repeat(LONGEST + 1))),
        ("/fits", ResponseTemplate::new(200).set_body_string(format!("\"{}\"", "1".repeat(LONGEST - 2)))),
        ("/gone", ResponseTemplate::new(404).set_body_json(json!({}))),
        ("/away", ResponseTemplate::new(302).insert_header("Location", "/keys")),
    ];
    for (at, answer) in answers {
        Mock::given(path(at)).respond_with(answer).mount(&server).await;
    }
    server
}

#[tokio::test]
async fn what_is_allowed_is_fetched_by_address_and_by_name() {
    let server = server().await;
    let outbound = outbound(&["127.0.0.1/32"]);
    let port = server.address().port();
    assert_eq!(outbound.get_json(&format!("http://127.0.0.1:{port}/keys")).await.unwrap(), json!({ "keys": [] }));
    assert_eq!(outbound.get_json(&format!("http://localhost:{port}/keys")).await.unwrap(), json!({ "keys": [] }));
    assert!(outbound.get_json(&format!("http://127.0.0.1:{port}/fits")).await.is_ok());
}

#[tokio::test]
async fn nothing_special_is_reached_unless_allowed() {
    let server = server().await;
    let port = server.address().port();
    for allow in [&[][..], &["10.0.0.0/8"]] {
        let outbound = outbound(allow);
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0.0.0.0"] {
            for scheme in ["http", "https"] {
                let url = format!("{scheme}://{host}:{port}/keys");
                let refused = outbound.get_json(&url).await.unwrap_err();
                assert!(refused.0.contains("may") && refused.0.contains("outbound.allow"), "{url}: {refused}");
            }
        }
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn answers_are_bounded_and_redirects_not_followed() {
    let server = server().await;
    let outbound = outbound(&["127.0.0.1/32"]);
    for (at, why) in [("/long", "longer than"), ("/text", "not JSON"), ("/gone", "404"), ("/away", "302")] {
        let refused = outbound.get_json(&format!("{}{at}", server.uri())).await.unwrap_err();
        assert!(refused.0.contains(why), "{at}: {refused}");
    }
}

#[tokio::test]
async fn a_form_is_taken_failed_or_blocked() {
    let home = server().await;
    Mock::given(path("/none")).respond_with(ResponseTemplate::new(204)).mount(&home).await;
    let (port, form) = (home.address().port(), [("logout_token", "a.b+c")]);
    let open = outbound(&["127.0.0.1/32"]);
    for at in ["/keys", "/none", "/long"] {
        open.post_form(&format!("{}{at}", home.uri()), &form).await.unwrap();
    }
    let requests = home.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.body == b"logout_token=a.b%2Bc"), "{requests:?}");
    for at in ["/gone", "/away"] {
        let failed = open.post_form(&format!("{}{at}", home.uri()), &form).await;
        assert!(matches!(failed, Err(Unsent::Failed(_))), "{at}: {failed:?}");
    }
    let nobody = open.post_form("http://127.0.0.1:1/", &form).await;
    assert!(matches!(nobody, Err(Unsent::Failed(_))), "{nobody:?}");
    // A name that leads to nowhere may lead somewhere later.
    let unknown = outbound(&[]).post_form("https://no-such-name.invalid/", &form).await;
    assert!(matches!(unknown, Err(Unsent::Failed(_))), "{unknown:?}");
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        for scheme in ["http", "https"] {
            let blocked = outbound(&[]).post_form(&format!("{scheme}://{host}:{port}/keys"), &form).await;
            assert!(matches!(blocked, Err(Unsent::Blocked(_))), "{scheme}://{host}: {blocked:?}");
        }
    }
}

#[tokio::test]
async fn other_urls_are_refused() {
    let outbound = outbound(&[]);
    for url in ["ftp://example.com/", "file:///etc/passwd", "https://u:p@example.com/", "no url", "http://8.8.8.8/"] {
        assert!(outbound.get_json(url).await.is_err(), "{url}");
    }
}

#[test]
fn special_addresses_are_known() {
    let special = [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.31.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.1.1",
        "198.19.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "ff02::1",
    ];
    for address in special {
        assert!(!may_reach(address.parse().unwrap(), &[], false), "{address}");
    }
    for address in
        ["8.8.8.8", "100.128.0.1", "172.32.0.1", "198.20.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00::1"]
    {
        assert!(may_reach(address.parse().unwrap(), &[], false), "{address}");
        assert!(!may_reach(address.parse().unwrap(), &[], true), "{address}");
    }
    assert!(may_reach("::ffff:10.0.0.1".parse().unwrap(), &["10.0.0.0/8".parse().unwrap()], true));
}
