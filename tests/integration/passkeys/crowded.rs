//! Nothing more is stored for strangers at an address. A passkey signs in there all the same, and nothing is written before it
//! has.

mod forged;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::{
    ALICE, BOB, Server, Settings,
    agent::{Agent, Page},
    client::Code,
    declared::{REDIRECT_URI, SECRET},
    passkey::{Asked, Passkey},
    token,
};

const HERE: &str = "203.0.113.9";
const ELSEWHERE: &str = "198.51.100.7";
const VISITOR: &str = "urn:mooring:acr:visitor";

fn proxied() -> Settings {
    Settings::default().set("trusted_proxies", "127.0.0.1/32")
}

/// A server, and a passkey that ALICE has made elsewhere; [`HERE`] thousands of visits were begun.
async fn crowded(settings: Settings) -> (Server, Passkey) {
    let server = Server::start(settings).await;
    let passkey = enrolled(&server, ALICE, ELSEWHERE).await;
    here(&server).open(&server.at("/login")).await;
    fill(&server).await;
    (server, passkey)
}

/// Every bucket is full for an hour.
async fn fill(server: &Server) {
    let full = server.clock.now() + TimeDelta::hours(1);
    server.rows(&format!("UPDATE throttles SET empty_at = '{full}'")).await;
}

async fn enrolled(server: &Server, username: &str, from: &str) -> Passkey {
    let (agent, mut passkey) = (server.agent().forwarded_for(from), Passkey::new());
    let account = agent.walk(&server.at("/account"), username).await;
    agent.enrol_passkey(&account, &mut passkey).await;
    passkey
}

/// A browser that was never here.
fn here(server: &Server) -> Agent {
    server.agent().forwarded_for(HERE)
}

/// The page that asks it to wait, or for a passkey.
async fn told_to_wait(server: &Server, agent: &Agent, path: &str) -> Page {
    let page = agent.open(&server.at(path)).await;
    page.is_error_page(429);
    assert!(page.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", page.headers);
    page
}

async fn asked(agent: &Agent, page: &Page) -> Asked {
    agent.ask(page, "use-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body))
}

/// A browser at the crowded address, the question of its page, and what the passkey makes of it.
async fn answered(server: &Server, passkey: &mut Passkey) -> (Agent, Asked, Value) {
    let agent = here(server);
    let page = told_to_wait(server, &agent, "/login").await;
    let asked = asked(&agent, &page).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    (agent, asked, signed)
}

/// All that a stranger might cause to be written.
async fn written(server: &Server) -> String {
    let tables =
        ["sessions", "authorization_requests", "ceremonies", "audit_events", "used_jtis", "devices", "notices"];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM {table})"));
    let buckets = "(SELECT string_agg(key::text || empty_at::text, ',' ORDER BY key) FROM throttles)";
    let used = "(SELECT string_agg(xmin::text, ',' ORDER BY id) FROM credentials)";
    server.value(&format!("SELECT concat_ws(' ', {}, {buckets}, {used})", counts.join(", "))).await
}

#[track_caller]
fn is_out_of_date(answer: &Page) {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (409, Some("out_of_date")), "{}", answer.body);
    assert!(answer.headers.get("set-cookie").is_none(), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_passkey_signs_in_where_nothing_is_stored() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (client, agent) = (server.client("web"), here(&server));
    let request = client.request("openid");
    let before = written(&server).await;
    let page = agent.open(&request.url()).await;
    page.is_error_page(429);
    assert!(page.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{:?}", page.headers);
    assert!(page.body.contains("<noscript>") && page.body.contains("Sign in with a passkey"), "{}", page.body);
    assert!(page.header("content-security-policy").contains("connect-src 'self'"), "{:?}", page.headers);
    let asked = asked(&agent, &page).await;
    assert_eq!(written(&server).await, before, "nothing is written before a passkey has signed");
    let cookie = agent.cookie();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=300"] {
        assert!(cookie.attributes.iter().any(|it| it == attribute), "{attribute}: {cookie:?}");
    }

    let signed = passkey.sign(asked.page(), &asked.options);
    let answer = agent.answer(&asked, &signed).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["next"], request.url());
    // One cookie for the session and one by which the browser is known; that of the question is gone.
    assert!(agent.cookie().name.starts_with("mooring_session") && agent.device().is_some());
    let consent = agent.go_on(&answer).await;
    let code = agent.decide(&consent, "allow").await.code();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    let claims = token::claims(&tokens.id);
    assert_eq!((&claims["sub"], &claims["acr"]), (&json!(server.user_id(ALICE).await), &json!("phr")));
    let event = "SELECT concat_ws(' ', action, outcome, actor, detail->>'acr') FROM audit_events \
                 WHERE action = 'session.started' ORDER BY id DESC LIMIT 1";
    assert_eq!(server.value(event).await, "session.started done user phr");
}

#[tokio::test]
async fn every_way_to_a_sign_in_offers_a_passkey() {
    let (server, mut passkey) = crowded(proxied()).await;
    for (path, heading) in [
        ("/account", "Alice Example"),
        ("/login", "Alice Example"),
        ("/login?confirm=password", "Change your password"),
    ] {
        let agent = here(&server);
        let page = told_to_wait(&server, &agent, path).await;
        assert_eq!(agent.use_passkey(&page, &mut passkey).await.heading(), heading, "{path}");
    }
    // A request that was pushed, and one that another site's form has sent.
    let client = server.client("web");
    let pushed = client.pushed(&client.request("openid")).await;
    let agent = here(&server);
    let page = agent.open(&pushed.url()).await;
    assert!(agent.use_passkey(&page, &mut passkey).await.offers("allow"));
    let agent = here(&server);
    let sent = client.request("openid email");
    let url = url::Url::parse(&sent.url()).unwrap();
    let fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let page = agent.submit_from_elsewhere(&server.endpoint("authorization_endpoint"), &fields).await;
    page.is_error_page(429);
    assert!(agent.use_passkey(&page, &mut passkey).await.offers("allow"));
    // It proves nothing for a request that wants a proof of its own: that is asked for again, and not refused.
    let agent = here(&server);
    let page = agent.open(&client.request("openid").with("prompt", "login").url()).await;
    let again = agent.use_passkey(&page, &mut passkey).await;
    assert_eq!((again.status, again.heading().as_str()), (200, "Sign in"));
    assert!(agent.use_passkey(&again, &mut passkey).await.offers("allow"));
}

/// The browser of somebody who was here before has a bucket of its own; when that is full, too, the passkey gets in.
#[tokio::test]
async fn a_known_browser_is_offered_a_passkey_too() {
    let (server, mut passkey) = crowded(proxied()).await;
    let agent = here(&server);
    let page = told_to_wait(&server, &agent, "/login").await;
    let account = agent.use_passkey(&page, &mut passkey).await;
    agent.submit(&account.form_to("/sign-out")).await;
    let url = server.client("web").request("openid").url();
    assert!(agent.cookies().is_empty() && agent.device().is_some());
    assert_eq!(agent.copy().open(&url).await.status, 200);
    fill(&server).await;
    let page = agent.open(&url).await;
    page.is_error_page(429);
    assert!(agent.use_passkey(&page, &mut passkey).await.offers("allow"));
}

#[tokio::test]
async fn programs_and_silent_requests_are_told_to_wait() {
    let shop = format!(
        "[[client]]\nclient_id = \"shop\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         grant_types = [\"authorization_code\"]\nscope = \"openid\"\nvisitors = true\n"
    );
    let (server, _) = crowded(proxied().declare(&shop)).await;
    let url = server.client("web").request("openid").url();
    for accept in ["application/json", "*/*", "text/html;q=0"] {
        let asked = server.http().get(&url).header("accept", accept).header("x-forwarded-for", HERE);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 429, "{accept}");
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok_and(|it| it > 0), "{accept}");
        assert!(!answer.text().await.unwrap().contains("use-passkey"), "{accept}");
    }
    let visit = server.client("shop").request("openid").with("acr_values", VISITOR);
    for (request, offers) in [(visit.clone(), true), (visit.with("prompt", "none"), false)] {
        let page = here(&server).open(&request.url()).await;
        assert_eq!((page.status, page.data("use-passkey").is_some()), (429, offers), "{}", page.body);
    }
}

/// The browser of somebody else: their session ends first, as at any sign-in.
#[tokio::test]
async fn another_person_ends_the_session_before() {
    let (server, mut passkey) = crowded(proxied()).await;
    let page = told_to_wait(&server, &here(&server), "/login").await;
    let agent = server.agent().forwarded_for(ELSEWHERE);
    server.rows("DELETE FROM throttles").await;
    agent.walk(&server.at("/account"), BOB).await;
    let bobs = agent.copy();
    let account = agent.use_passkey(&page, &mut passkey).await;
    assert_eq!(account.heading(), "Alice Example");
    assert!(bobs.open(&server.at("/account")).await.asks_for_password());
    let ended = format!("SELECT end_reason FROM sessions WHERE user_id = '{}'", server.user_id(BOB).await);
    assert_eq!(server.value(&ended).await, "superseded");
    // And a locked one is no way in.
    let id = server.value("SELECT id FROM sessions WHERE acr = 'phr' AND ended_at IS NULL").await;
    server.rows(&format!("UPDATE sessions SET locked_at = now(), lock_reason = 'test' WHERE id = '{id}'")).await;
    let question = asked(&agent, &page).await;
    let signed = passkey.sign(question.page(), &question.options);
    is_out_of_date(&agent.answer(&question, &signed).await);
}

/// The page, the question and the answer may each meet another replica.
#[tokio::test]
async fn replicas_answer_each_others_questions() {
    let (server, mut passkey) = crowded(proxied()).await;
    let replica = server.replica(proxied()).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let other = agent.copy();
    assert_eq!(agent.at(&replica).answer(&asked, &signed).await.status, 200);
    assert_eq!(other.answer(&asked, &signed).await.status, 403);
}

#[tokio::test]
async fn an_issuer_with_a_path_offers_a_passkey() {
    let (server, mut passkey) = crowded(proxied().path("/auth")).await;
    let agent = here(&server);
    let page = told_to_wait(&server, &agent, "/account").await;
    assert_eq!(agent.use_passkey(&page, &mut passkey).await.heading(), "Alice Example");
}

/// An address is no name: there are no passkeys, and the page offers none.
#[tokio::test]
async fn an_issuer_that_is_an_address_offers_none() {
    let server = Server::start(proxied().set("issuer", "https://127.0.0.1")).await;
    let port = server.app.config.listen.port();
    let open = async || {
        let login = server.http().get(format!("http://localhost:{port}/login")).header("accept", "text/html");
        let answer = login.header("x-forwarded-for", HERE).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(open().await.0, 200);
    fill(&server).await;
    let (status, body) = open().await;
    assert!(status == 429 && !body.contains("passkey"), "{status}: {body}");
}
