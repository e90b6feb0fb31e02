//! Leaving an authorization request: whatever page interrupts it, the client hears `access_denied`.

use chrono::TimeDelta;
use mooring::{audit::Actor, sessions};
use url::Url;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    client::Request,
    declared::REDIRECT_URI,
    token,
};

fn cancel_form(page: &Page) -> crate::support::page::Form {
    page.with_button("cancel", "yes")
}

async fn cancel(agent: &Agent, page: &Page) -> Page {
    agent.submit(&cancel_form(page)).await
}

#[track_caller]
fn is_cancelled(page: &Page) {
    let answer = page.answer();
    assert_eq!(answer.get("error").map(String::as_str), Some("access_denied"), "{answer:?}");
    assert_eq!(answer["state"], "the state", "{answer:?}");
    assert!(answer.contains_key("iss") && !answer.contains_key("code"), "{answer:?}");
}

fn login(server: &Server, client: &str) -> Request {
    server.client(client).request("openid").with("prompt", "login")
}

/// Once consent is remembered, the sign-in page is the only one a person sees.
#[tokio::test]
async fn the_sign_in_page_can_be_left() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    is_cancelled(&cancel(&agent, &page).await);
    assert_eq!(server.events("authorization.cancelled", "done").await, 1);
    // Consent is remembered, and she is signed in.
    server.client("web").code(&agent, "openid").await;
    let page = agent.open(&login(&server, "web").url()).await;
    is_cancelled(&cancel(&agent, &page).await);
    let silent = server.client("web").request("openid").with("prompt", "none");
    assert!(agent.step(&silent.url()).await.answer().contains_key("code"), "she is still signed in");
    // A wrong password, and then she gives up.
    let page = agent.open(&login(&server, "web").url()).await;
    let page = agent.sign_in(&page, ALICE, "wrong").await;
    assert_eq!(page.status, 401);
    is_cancelled(&cancel(&agent, &page).await);
    let actors =
        "SELECT string_agg(actor, ' ' ORDER BY at, id) FROM audit_events WHERE action = 'authorization.cancelled'";
    assert_eq!(server.value(actors).await, "visitor user user");
    // A page of our own leads back to no client.
    let own = agent.open(&server.at("/login?confirm=account")).await;
    assert!(own.forms().iter().all(|form| form.field("request").is_none()), "{}", own.body);
}

#[tokio::test]
async fn the_answer_travels_as_the_client_listens() {
    let server = Server::usual().await;
    let agent = server.agent();
    let client = server.client("web");
    for mode in ["query", "form_post", "jwt", "query.jwt", "form_post.jwt"] {
        let page = agent.open(&client.request("openid").with("response_mode", mode).url()).await;
        let page = cancel(&agent, &page).await;
        let fields: Vec<(String, String)> = if mode.starts_with("form_post") {
            let form = &page.forms()[0];
            assert_eq!(form.action.as_str(), REDIRECT_URI, "{mode}");
            form.fields.clone()
        } else {
            page.answer().into_iter().collect()
        };
        let field = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        if mode.ends_with("jwt") {
            let claims = token::verify(&server, field("response").unwrap()).await.claims;
            assert_eq!(
                (claims["error"].as_str(), claims["state"].as_str()),
                (Some("access_denied"), Some("the state"))
            );
        } else {
            assert_eq!((field("error"), field("state")), (Some("access_denied"), Some("the state")), "{mode}");
        }
    }
    let pushed = server.client("web").pushed(&client.request("openid")).await;
    let page = agent.open(&pushed.url()).await;
    is_cancelled(&cancel(&agent, &page).await);
}

#[tokio::test]
async fn a_cancelled_request_stays_cancelled() {
    let server = Server::usual().await;
    let agent = server.agent();
    let client = server.client("web");
    client.code(&server.agent(), "openid").await; // consented before
    let page = agent.open(&client.request("openid").url()).await;
    let form = cancel_form(&page);
    let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
    is_cancelled(&one);
    is_cancelled(&other);
    // The back button, and then the password.
    is_cancelled(&agent.sign_in(&page, ALICE, PASSWORD).await);
    assert_eq!(server.events("authorization.cancelled", "done").await, 1);
    assert_eq!(server.events("code.issued", "done").await, 1, "the one of before");
    // What was answered with a code cannot be taken back.
    let page = agent.open(&client.request("openid").url()).await;
    let signed_in = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = signed_in.code();
    assert_eq!(cancel(&agent, &page).await.code(), code, "the same answer again");
    assert_eq!(server.events("authorization.cancelled", "done").await, 1);
}

/// Of a cancel and a sign-in at the same moment one counts, and nobody meets an error page.
#[tokio::test]
async fn cancel_and_sign_in_at_once_give_one_answer() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let client = server.client("web");
    client.code(&server.agent(), "openid").await; // consented before
    for round in 0..5 {
        let agent = server.agent();
        let page = agent.open(&client.request("openid").url()).await;
        let (left, entered) = (cancel_form(&page), page.sign_in_form(ALICE, PASSWORD));
        let (left, entered) = tokio::join!(agent.submit(&left), agent.submit(&entered));
        for page in [&left, &entered] {
            let answer = page.answer();
            assert!(answer.contains_key("code") || answer["error"] == "access_denied", "round {round}: {answer:?}");
        }
    }
    let answered = "SELECT count(*) FROM authorization_requests WHERE denied_at IS NOT NULL AND code_id IS NOT NULL";
    assert_eq!(server.value(answered).await, "0");
}

#[tokio::test]
async fn nobody_cancels_for_somebody_else() {
    let server = Server::usual().await;
    let (agent, thief) = (server.agent(), server.agent());
    let client = server.client("web");
    let page = agent.open(&client.request("openid").url()).await;
    let form = cancel_form(&page);
    let own = cancel_form(&thief.open(&client.request("openid").url()).await);
    for forged in [
        form.clone().forge("csrf", None),
        form.clone().forge("csrf", Some("AAAA")),
        form.clone().forge("csrf", own.field("csrf")),
        form.clone().forge("request", own.field("request")),
        form.clone().forge("request", Some("x")),
        form.clone().forge("request", None),
    ] {
        agent.submit(&forged).await.is_error_page(400);
    }
    // A form on another site, in this browser and in the thief's.
    agent.submit_from_elsewhere(form.action.as_str(), &form.fields).await.is_error_page(400);
    thief.submit_from_elsewhere(form.action.as_str(), &form.fields).await.is_error_page(400);
    agent.submit_from_elsewhere(own.action.as_str(), &own.fields).await.is_error_page(400);
    assert_eq!(agent.step(form.action.as_str()).await.status, 405, "a link cancels nothing");
    assert_eq!(server.events("authorization.cancelled", "done").await, 0);
    is_cancelled(&agent.submit(&form).await);
    // One tab leaves, the other goes on.
    let (first, second) = (client.request("openid"), client.request("openid"));
    let (first, second) = (agent.open(&first.url()).await, agent.open(&second.url()).await);
    is_cancelled(&cancel(&agent, &first).await);
    let page = agent.sign_in(&second, ALICE, PASSWORD).await;
    assert!(!agent.decide(&page, "allow").await.code().is_empty());
}

/// The page was left open, and what it was shown in has ended meanwhile.
#[tokio::test]
async fn a_page_left_open_can_still_be_left() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let page = agent.open(&client.request("openid").url()).await;
    server.advance(TimeDelta::minutes(45)).await;
    is_cancelled(&cancel(&agent, &page).await);
    // Somebody signed in in another tab meanwhile.
    let page = agent.open(&client.request("openid").url()).await;
    server.client("web2").code_for(&agent, BOB, "openid").await;
    is_cancelled(&cancel(&agent, &page).await);
    // She was signed in, and that has ended.
    let page = agent.open(&client.request("openid").with("prompt", "select_account").url()).await;
    let user = server.user_id(BOB).await.parse().unwrap();
    server.work(async |tx| sessions::end_all_of_user(tx, user, "ended_by_operator", Actor::Operator).await).await;
    is_cancelled(&cancel(&agent, &page).await);
}

#[tokio::test]
async fn the_code_after_the_password_can_be_left() {
    let server = Server::usual().await;
    let first = server.agent();
    first.walk(&server.at("/account"), ALICE).await;
    authenticator::add(&server, &first).await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!(page.heading(), "Enter your code");
    is_cancelled(&cancel(&agent, &page).await);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL").await, "1");
    // For the account page there is no client to go back to.
    let own = agent.open(&server.at("/account")).await;
    let own = agent.sign_in(&own, ALICE, PASSWORD).await;
    assert!(own.heading() == "Enter your code" && !own.body.contains("/cancel\""), "{}", own.body);
}

#[tokio::test]
async fn the_choice_of_the_account_can_be_left() {
    let server = Server::usual().await;
    let agent = server.agent();
    let client = server.client("web");
    client.code(&agent, "openid").await;
    let page = agent.open(&client.request("openid").with("prompt", "select_account").url()).await;
    assert_eq!(page.heading(), "Choose an account");
    is_cancelled(&cancel(&agent, &page).await);
    let page = agent.open(&client.request("openid").with("prompt", "select_account").url()).await;
    let another = agent.decide(&page, "another").await;
    assert!(another.asks_for_password());
    is_cancelled(&cancel(&agent, &another).await);
}

/// A locked session answers nothing itself; the way back stands on the page that says so.
#[tokio::test]
async fn a_locked_browser_can_go_back() {
    let server = Server::usual().await;
    let agent = server.agent();
    let client = server.client("web");
    client.code(&agent, "openid").await;
    let waiting = agent.open(&login(&server, "web").url()).await;
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    assert!(server.work(async |tx| sessions::lock(tx, id, "looks odd", Actor::Operator).await).await);
    let way_back = |page: &Page| {
        page.is_error_page(403);
        let tag = page.body.split("<a ").find(|tag| tag.contains("id=\"cancel\"")).expect("a link");
        let href = tag.split("href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
        Url::parse(&crate::support::page::unescape(href)).unwrap()
    };
    let fresh = agent.open(&client.request("openid").url()).await;
    let reloaded = agent.open(waiting.url.as_str()).await;
    let typed = agent.sign_in(&waiting, ALICE, PASSWORD).await;
    let left = cancel(&agent, &waiting).await;
    for page in [fresh, reloaded, typed, left] {
        let address = way_back(&page);
        assert!(address.as_str().starts_with(REDIRECT_URI), "{address}");
        let has = |name: &str, value: &str| address.query_pairs().any(|(n, v)| n == name && v == value);
        assert!(has("error", "access_denied") && has("state", "the state") && has("iss", &server.issuer), "{address}");
    }
    let posted = agent.open(&client.request("openid").with("response_mode", "form_post").url()).await;
    let form = posted.is_error_page(403).forms().remove(0);
    assert_eq!((form.action.as_str(), form.field("error")), (REDIRECT_URI, Some("access_denied")));
    // Where no client waits there is nowhere to go back to.
    let own = agent.open(&server.at("/account")).await;
    assert!(own.status == 403 && !own.body.contains("id=\"cancel\""), "{}", own.body);
    // Somebody else's request is not answered.
    let stranger = server.agent();
    let foreign = stranger.open(&client.request("openid").url()).await;
    let page = agent.open(foreign.url.as_str()).await;
    assert!(!page.body.contains("id=\"cancel\""), "{}", page.body);
}
