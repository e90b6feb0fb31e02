//! Front-channel logout (OpenID Connect Front-Channel Logout 1.0): at a sign-out the parties that want it are loaded in
//! frames, and only they; then the browser goes on.

use std::time::{Duration, Instant};

use fantoccini::Locator;
use mooring::db::clients;
use url::Url;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path},
};

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    browser::Browser,
    client::{Code, Tokens},
    declared::{POST_LOGOUT_URI, SECRET},
    page::unescape,
    token,
};

/// A client on the web with a `frontchannel_logout_uri` of its own origin.
fn party(id: &str, origin: &str, logout: &str) -> String {
    format!(
        "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{origin}/cb\"]\n\
         grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid\"\n\
         post_logout_redirect_uris = [\"{origin}/bye\"]\n\
         frontchannel_logout_uri = \"{origin}{logout}\"\nfrontchannel_logout_session_required = true\n"
    )
}

async fn tokens(server: &Server, agent: &Agent, id: &str, origin: &str) -> Tokens {
    let mut client = server.client(id);
    client.redirect_uri = format!("{origin}/cb");
    client.tokens(agent, "openid").await
}

fn sign_out(server: &Server, parameters: &[(&str, &str)]) -> String {
    Url::parse_with_params(&server.endpoint("end_session_endpoint"), parameters).unwrap().into()
}

fn frames(page: &Page) -> Vec<Url> {
    let tags = page.body.split("<iframe ").skip(1);
    tags.map(|tag| {
        let address = tag.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        Url::parse(&unescape(address)).unwrap()
    })
    .collect()
}

/// The link that leads on, for whoever runs no scripts.
fn onward(page: &Page) -> Option<String> {
    let link = page.body.split("id=\"continue\" href=\"").nth(1)?;
    Some(unescape(link.split('"').next()?))
}

fn frame_sources(page: &Page) -> Vec<String> {
    let policy = page.header("content-security-policy");
    let directive = policy.split("; ").find_map(|directive| directive.strip_prefix("frame-src "));
    directive.map(|sources| sources.split(' ').map(str::to_owned).collect()).unwrap_or_default()
}

const ONE: &str = "https://one.example";
const TWO: &str = "https://two.example:8443";

async fn two_parties() -> Server {
    let parties = [
        party("one", ONE, "/logout"),
        party("two", TWO, "/logout?tenant=7"),
        party("again", ONE, "/other"),
        party("absent", "https://absent.example", "/logout"),
    ];
    Server::start(Settings::default().declare(&parties.concat())).await
}

/// `oidcc-frontchannel-rp-initiated-logout`, with more than one party.
#[tokio::test]
async fn the_page_loads_every_party_and_leads_on() {
    let server = two_parties().await;
    for supported in ["frontchannel_logout_supported", "frontchannel_logout_session_supported"] {
        assert_eq!(server.discovery()[supported], true);
    }
    let agent = server.agent();
    let first = tokens(&server, &agent, "one", ONE).await;
    let second = tokens(&server, &agent, "two", TWO).await;
    tokens(&server, &agent, "again", ONE).await;
    server.client("web").tokens(&agent, "openid").await;

    let bye = format!("{ONE}/bye");
    let url = sign_out(
        &server,
        &[("id_token_hint", &first.id), ("post_logout_redirect_uri", &bye), ("state", "a b&c=\"'<d>")],
    );
    let page = agent.open(&url).await;
    assert_eq!((page.status, page.location()), (200, None), "{}", page.body);
    let loaded = frames(&page);
    assert_eq!(loaded.len(), 3, "{}", page.body);
    for (frame, address, tokens) in
        [(&loaded[0], "https://one.example/logout", &first), (&loaded[1], "https://two.example:8443/logout", &second)]
    {
        assert!(frame.as_str().starts_with(address), "{frame}");
        let parameters: Vec<(String, String)> = frame.query_pairs().into_owned().collect();
        let sid = token::claims(&tokens.id)["sid"].as_str().unwrap().to_owned();
        let (iss, sid) = (("iss".to_owned(), server.issuer.clone()), ("sid".to_owned(), sid));
        assert!(parameters.contains(&iss) && parameters.contains(&sid), "{frame}");
        assert_eq!(parameters.len(), if tokens.id == second.id { 3 } else { 2 }, "{frame}");
    }
    assert_eq!(loaded[1].query_pairs().next().unwrap().1, "7", "its own query stays");
    // The origins of those and of nobody else.
    assert_eq!(frame_sources(&page), [ONE, TWO]);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-store");
    let onward = Url::parse(&onward(&page).unwrap()).unwrap();
    assert!(onward.as_str().starts_with(&bye));
    let state: Vec<_> = onward.query_pairs().into_owned().collect();
    assert_eq!(state, [("state".to_owned(), "a b&c=\"'<d>".to_owned())]);
    assert!(agent.cookies().is_empty());
    assert!(!server.client("api").is_active(&first.access).await);

    // What has ended is not told again: it leads back at once.
    let again = agent.open(&url).await;
    assert!(again.location().is_some_and(|location| location.as_str().starts_with(&bye)), "{}", again.body);
}

#[tokio::test]
async fn so_it_is_however_the_person_signs_out() {
    let server = two_parties().await;
    // Confirmed, and nowhere to go on to.
    let agent = server.agent();
    tokens(&server, &agent, "two", TWO).await;
    let page = agent.open(&sign_out(&server, &[])).await;
    assert!(page.offers("sign-out") && frames(&page).is_empty() && frame_sources(&page).is_empty(), "asked, not done");
    let page = agent.decide(&page, "sign-out").await;
    assert_eq!((frames(&page).len(), frame_sources(&page), onward(&page)), (1, vec![TWO.to_owned()], None));
    assert!(agent.cookies().is_empty());

    // On the account page, by either button.
    for own in [false, true] {
        let agent = server.agent();
        let held = tokens(&server, &agent, "one", ONE).await;
        let account = agent.open(&server.at("/account")).await;
        let form = account.form_to("/sign-out");
        let form = if own {
            let sid = token::claims(&held.id)["sid"].as_str().unwrap().to_owned();
            let session = server.value(&format!("SELECT session_id FROM session_clients WHERE sid = '{sid}'")).await;
            let mut end = form.clone();
            end.action = Url::parse(&server.at("/account/end")).unwrap();
            end.fields.push(("session".to_owned(), session));
            end
        } else {
            form
        };
        let page = agent.submit(&form).await;
        assert_eq!((frames(&page).len(), frame_sources(&page)), (1, vec![ONE.to_owned()]), "{}", page.body);
        assert_eq!(onward(&page).unwrap(), server.at("/?done=sign-out"));
        assert!(agent.cookies().is_empty());
    }

    // Ending another session is not this browser's to tell.
    let (agent, other) = (server.agent(), server.agent());
    tokens(&server, &other, "one", ONE).await;
    tokens(&server, &agent, "two", TWO).await;
    let account = agent.open(&server.at("/account")).await;
    let page = agent.submit(&account.form_to("/end-others")).await;
    assert!(frames(&page).is_empty());
}

#[tokio::test]
async fn without_a_party_it_leads_back_at_once() {
    let server = two_parties().await;
    let agent = server.agent();
    tokens(&server, &agent, "one", ONE).await;
    let web = server.client("web").tokens(&agent, "openid").await;
    // Disabled, it is nobody's concern any more.
    assert_eq!(server.work(async |tx| clients::disable(tx, "one").await).await, Some(true));
    let url = sign_out(&server, &[("id_token_hint", &web.id), ("post_logout_redirect_uri", POST_LOGOUT_URI)]);
    let page = agent.open(&url).await;
    assert_eq!(page.location().unwrap().as_str(), POST_LOGOUT_URI);
}

/// A real browser under our own policy: the frames are loaded, then it goes on by itself, and waits for nobody for long.
#[tokio::test]
async fn a_browser_loads_the_frames_and_goes_on() {
    let Some(browser) = Browser::start().await else { return };
    let home = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_mins(5));
    Mock::given(path("/never")).respond_with(never).mount(&home).await;
    let page = ResponseTemplate::new(200).set_body_raw("<title>Arrived</title><h1>Arrived</h1>", "text/html");
    Mock::given(any()).respond_with(page).mount(&home).await;
    let origin = home.uri();
    let parties = party("quick", &origin, "/quick") + &party("slow", &origin, "/never");
    let server = Server::start(Settings::default().declare(&parties)).await;
    let arrived = async || {
        let heading = Locator::XPath("//h1[text()='Arrived']");
        browser.client.wait().at_most(Duration::from_secs(20)).for_element(heading).await.expect("it arrives");
        browser.client.current_url().await.unwrap()
    };
    let asked = async |at: &str| {
        let requests = home.received_requests().await.unwrap();
        requests.iter().filter(|request| request.url.path() == at).count()
    };

    for (with_slow, at_least) in [(false, Duration::ZERO), (true, Duration::from_secs(4))] {
        let mut hint = None;
        for id in if with_slow { &["quick", "slow"][..] } else { &["quick"] } {
            let mut client = server.client(id);
            client.redirect_uri = format!("{origin}/cb");
            let request = client.request("openid");
            browser.client.goto(&request.url()).await.unwrap();
            if let Ok(name) = browser.client.find(Locator::Css("input[name=username]")).await {
                name.send_keys(ALICE).await.unwrap();
                let password = browser.client.find(Locator::Css("input[name=password]")).await.unwrap();
                password.send_keys(PASSWORD).await.unwrap();
                browser.client.find(Locator::Css("form button[type=submit]")).await.unwrap().click().await.unwrap();
            }
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until && browser.client.current_url().await.unwrap().path() != "/cb" {
                if let Ok(allow) = browser.client.find(Locator::Css("button[value=allow]")).await {
                    allow.click().await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let code = arrived().await.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
            hint = Some(client.redeem(&Code { code, verifier: request.verifier }).await.tokens().id);
        }
        let (bye, before, begun) = (format!("{origin}/bye"), asked("/quick").await, Instant::now());
        let url = sign_out(
            &server,
            &[("id_token_hint", &hint.unwrap()), ("post_logout_redirect_uri", &bye), ("state", "x y")],
        );
        // It may be gone before the driver sees it.
        let _ = browser.client.goto(&url).await;
        while browser.client.current_url().await.unwrap().path() != "/bye" {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", browser.client.source().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(browser.client.current_url().await.unwrap().query(), Some("state=x+y"));
        assert_eq!(asked("/quick").await, before + 1);
        assert!(begun.elapsed() >= at_least, "{:?}", begun.elapsed());
        assert_eq!(asked("/never").await, usize::from(with_slow));
    }
}
