//! Whose cookie it is: a browser sends what every application on the host has set, and in what order it likes.

use mooring::{audit::Actor, sessions};
use reqwest::header::HeaderValue;

use crate::support::{ALICE, Answer, BOB, PASSWORD, Server, Settings, agent::Agent, browser::Browser};

const NAME: &str = "Alice Example";

/// Opens a page with these `Cookie` lines.
async fn open(server: &Server, path: &str, lines: &[&[u8]]) -> Answer {
    let mut request = server.http().get(server.at(path));
    for line in lines {
        request = request.header("cookie", HeaderValue::from_bytes(line).expect("a line of a header"));
    }
    Answer::of(request).await
}

async fn is_signed_in(server: &Server, lines: &[&[u8]]) -> bool {
    open(server, "/account", lines).await.text.contains(NAME)
}

async fn signed_in(server: &Server) -> (Agent, String, String) {
    signed_in_as(server, ALICE).await
}

async fn signed_in_as(server: &Server, username: &str) -> (Agent, String, String) {
    let agent = server.agent();
    agent.walk(&server.at("/account"), username).await;
    let cookie = agent.cookie();
    (agent, cookie.name, cookie.value)
}

#[tokio::test]
async fn octets_of_a_neighbour_do_not_lose_the_session() {
    let server = Server::usual().await;
    let (_, name, value) = signed_in(&server).await;
    let ours = format!("{name}={value}").into_bytes();
    for neighbour in [&b"a=\xff"[..], b"a=\x80\xfe; b=c", b"\xfc=1", b"a=%ff", b"=; ;", b"flag", b"a=\"\xe4\""] {
        let before = [neighbour, b"; ", &ours].concat();
        let after = [&ours, &b"; "[..], neighbour].concat();
        for lines in [&[&before[..]][..], &[&after], &[neighbour, &ours], &[&ours, neighbour]] {
            assert!(is_signed_in(&server, lines).await, "{:?}", String::from_utf8_lossy(&lines.concat()));
        }
    }
}

#[tokio::test]
async fn of_several_cookies_of_our_name_the_good_one_counts() {
    let server = Server::usual().await;
    let (agent, name, value) = signed_in(&server).await;
    let (gone, _, over) = signed_in(&server).await;
    let page = gone.open(&server.at("/account")).await;
    gone.submit(&page.form_to("/sign-out")).await;
    let visitor = server.agent();
    visitor.open(&server.at("/login")).await;
    let mut forged = value.clone();
    forged.replace_range(40..44, if &value[40..44] == "AAAA" { "BBBB" } else { "AAAA" });
    let never = "A".repeat(64);
    for other in ["", "junk", &forged, &never, &over] {
        for (first, second) in [(other, value.as_str()), (&value, other)] {
            let line = format!("{name}={first}; x=y; {name}={second}");
            assert!(is_signed_in(&server, &[line.as_bytes()]).await, "{line}");
            // At the authorization endpoint too, which looks the session up with the client.
            let url = server.client("web").request("openid").with("prompt", "none").url();
            let answer = Answer::of(server.http().get(url).header("cookie", line.as_str())).await;
            assert!(answer.header("location").contains("error=consent_required"), "{line}: {answer:?}");
        }
    }
    // Many of them are no more work than two, and none of them counts for another.
    let many = (0..40).fold(String::new(), |all, n| format!("{all}{name}={n}{}; ", &never[2..]));
    assert!(is_signed_in(&server, &[format!("{many}{name}={value}").as_bytes()]).await);
    assert!(!is_signed_in(&server, &[format!("{many}{name}={forged}").as_bytes()]).await);
    // Somebody who is signed in elsewhere stays so.
    assert!(agent.open(&server.at("/account")).await.body.contains(NAME));
}

/// A locked session is not got round by a second cookie that is worth nothing.
#[tokio::test]
async fn a_worthless_cookie_does_not_hide_a_lock() {
    let server = Server::usual().await;
    let (_, name, value) = signed_in(&server).await;
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await;
    let id = id.parse().unwrap();
    assert!(server.work(async |tx| sessions::lock(tx, id, "odd", Actor::Operator).await).await);
    for line in [format!("{name}={}; {name}={value}", "A".repeat(64)), format!("{name}={value}; {name}=junk")] {
        let answer = open(&server, "/login", &[line.as_bytes()]).await;
        assert_eq!((answer.status, answer.text.contains("locked")), (403, true), "{line}: {answer:?}");
    }
}

/// A browser keeps the prefix `__Host-` for this very host; a name that becomes ours only by decoding has no such guard.
#[tokio::test]
async fn a_name_that_decodes_to_ours_is_not_ours() {
    let server = Server::usual().await;
    let (_, name, value) = signed_in(&server).await;
    assert!(name.starts_with("mooring_session"));
    for other in [name.replacen('m', "%6d", 1), name.replacen('m', "M", 1), format!("x{name}"), format!("\"{name}\"")] {
        assert!(!is_signed_in(&server, &[format!("{other}={value}").as_bytes()]).await, "{other}");
    }
}

/// The name carries the port: the browser sends each server the cookies of both.
#[tokio::test]
async fn two_servers_on_one_host_keep_their_sessions() {
    let (one, other) = (Server::usual().await, Server::usual().await);
    let (_, first, one_value) = signed_in(&one).await;
    let (_, second, other_value) = signed_in(&other).await;
    assert_ne!(first, second);
    let both = format!("{first}={one_value}; {second}={other_value}");
    for server in [&one, &other] {
        assert!(is_signed_in(server, &[both.as_bytes()]).await, "{}", server.issuer);
    }
    let Some(browser) = Browser::start().await else { return };
    for server in [&one, &other] {
        browser.client.goto(&server.at("/login")).await.unwrap();
        browser.sign_in_as(ALICE, PASSWORD).await;
        browser.arrives_at(NAME).await;
    }
    for server in [&one, &other] {
        browser.client.goto(&server.at("/account")).await.unwrap();
        browser.arrives_at(NAME).await;
    }
}

#[tokio::test]
async fn over_tls_and_below_a_path_the_name_says_so_too() {
    for (settings, starts) in [
        (Settings::default().tls(), "__Host-mooring_session-"),
        (Settings::default().path("/tenant"), "mooring_session-"),
    ] {
        let server = Server::start(settings).await;
        let port = url::Url::parse(&server.issuer).unwrap().port().unwrap();
        let (_, name, _) = signed_in(&server).await;
        assert!(name.starts_with(&format!("{starts}{port}")), "{name}");
    }
}

/// An upgrade signs nobody out.
#[tokio::test]
async fn a_cookie_of_the_former_name_still_counts() {
    let server = Server::usual().await;
    let (_, name, value) = signed_in(&server).await;
    assert!(is_signed_in(&server, &[format!("mooring_session={value}").as_bytes()]).await);
    // One of the present name that is worth nothing, as another port of the host may set it, does not hide it; a good one
    // counts before it.
    for bogus in [&"A".repeat(64), "junk"] {
        let line = format!("{name}={bogus}; mooring_session={value}");
        assert!(is_signed_in(&server, &[line.as_bytes()]).await, "{line}");
    }
    let (_, _, bob) = signed_in_as(&server, BOB).await;
    let line = format!("mooring_session={bob}; {name}={value}");
    assert!(is_signed_in(&server, &[line.as_bytes()]).await);
}
