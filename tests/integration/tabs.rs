//! Several tabs of one browser: forms that were shown before something changed, visits that begin at once. Whatever the order,
//! nobody meets an error page, and every tab ends signed in as the same person.

use chrono::TimeDelta;

use crate::support::{ALICE, Answer, BOB, PASSWORD, Server, Settings, client::Code, token};

/// After a restart a browser opens its tabs again, all at once and without a cookie: each request begins a visit, and the
/// browser keeps the cookie of the one that was answered last.
#[tokio::test]
async fn tabs_that_begin_at_once_without_a_cookie_all_go_on() {
    let server = Server::usual().await;
    let (web, spa) = (server.client("web"), server.client("spa"));
    let (first, second) = (web.request("openid"), spa.request("openid"));
    let (early, browser) = (server.agent(), server.agent());
    let (first_tab, second_tab) = (early.step(&first.url()).await, browser.step(&second.url()).await);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'visitor'").await, "2");
    let first_tab = browser.follow(first_tab).await;
    let second_tab = browser.follow(second_tab).await;
    let page = browser.sign_in(&first_tab, ALICE, PASSWORD).await;
    let first_code = browser.decide(&page, "allow").await.code();
    let page = browser.sign_in(&second_tab, ALICE, PASSWORD).await;
    let second_code = browser.decide(&page, "allow").await.code();
    let first = web.redeem(&Code { code: first_code, verifier: first.verifier }).await.tokens();
    let second = spa.redeem(&Code { code: second_code, verifier: second.verifier }).await.tokens();
    assert_eq!(token::claims(&first.id)["sub"], token::claims(&second.id)["sub"]);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
    assert_eq!(server.value("SELECT count(*) FROM grants").await, "2");
}

/// The cookie changed after the form was shown; the button is pressed twice.
#[tokio::test]
async fn a_form_shown_in_the_visit_that_the_browser_forgot_signs_in_once() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let client = server.client("web");
    client.code(&server.agent(), "openid").await; // consented before
    for round in 0..6 {
        let request = client.request("openid");
        let (early, browser) = (server.agent(), server.agent());
        let form = early.open(&request.url()).await.sign_in_form(ALICE, PASSWORD);
        browser.open(&client.request("openid").url()).await;
        let (one, other) = tokio::join!(browser.submit(&form), browser.submit(&form));
        assert_eq!(one.code(), other.code(), "round {round}: one code");
        client.redeem(&Code { code: one.code(), verifier: request.verifier }).await.tokens();
        let silent = browser.open(&client.request("openid").with("prompt", "none").url()).await;
        assert!(silent.answer().contains_key("code"), "round {round}: {:?}", silent.answer());
    }
}

/// One tab has signed in by the time the other, which began in a visit of its own, is looked at.
#[tokio::test]
async fn a_tab_of_another_visit_goes_on_as_whoever_signed_in() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (early, browser) = (server.agent(), server.agent());
    let request = client.request("openid");
    let tab = early.step(&request.url()).await;
    client.code(&browser, "openid").await;
    let page = browser.follow(tab).await;
    let code = Code { code: page.code(), verifier: request.verifier };
    assert_eq!(token::claims(&client.redeem(&code).await.tokens().id)["sub"], server.user_id(ALICE).await);
}

/// Whoever sends somebody the address of a request has begun it, and holds the tokens of its forms: they open nothing in
/// the other browser. What somebody is signed in for is nobody else's.
#[tokio::test]
async fn the_address_of_a_request_gives_its_sender_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (sender, victim) = (server.agent(), server.agent());
    let shown = sender.open(&client.request("openid").url()).await;
    victim.open(&client.request("openid").url()).await;
    let opened = victim.open(shown.url.as_str()).await;
    let (theirs, own) = (shown.sign_in_form(BOB, PASSWORD), opened.sign_in_form(BOB, PASSWORD));
    assert_ne!(theirs.field("request"), own.field("request"));
    assert_ne!(theirs.field("csrf"), own.field("csrf"));
    let mixed = own.forge("csrf", theirs.field("csrf"));
    victim.submit(&mixed).await.is_error_page(400);
    let from_elsewhere = victim.submit_from_elsewhere(theirs.action.as_str(), &theirs.fields).await;
    from_elsewhere.is_error_page(400);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "0");

    // Of somebody who is signed in: not in another browser, whoever is there.
    let pending = sender.sign_in(&shown, ALICE, PASSWORD).await;
    assert!(pending.offers("allow"));
    victim.open(pending.url.as_str()).await.is_error_page(400);
}

/// A consent form says for whom it was shown. Whoever is there by the time it is sent is asked anew.
#[tokio::test]
async fn a_form_of_before_leads_back_to_its_request() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let request = client.request("openid email");
    let consent = agent.sign_in(&agent.open(&request.url()).await, ALICE, PASSWORD).await;
    // The session goes idle while the page is open.
    server.advance(TimeDelta::minutes(45)).await;
    let page = agent.decide(&consent, "allow").await;
    assert!(page.asks_for_password(), "{} {}", page.status, page.body);
    assert_eq!(server.value("SELECT count(*) FROM consents").await, "0");
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = agent.decide(&page, "allow").await.code();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
}

/// Two tabs on a page of our own, signed out; one signs in, then the other; the back button, and once more.
#[tokio::test]
async fn two_tabs_of_the_account_page_end_signed_in() {
    let server = Server::usual().await;
    let agent = server.agent();
    let account = server.at("/account");
    let (first_tab, second_tab) = (agent.open(&account).await, agent.open(&account).await);
    assert!(agent.sign_in(&first_tab, ALICE, PASSWORD).await.url.path().ends_with("/account"));
    for form in [&second_tab, &first_tab, &second_tab] {
        let page = agent.sign_in(form, ALICE, PASSWORD).await;
        assert!(page.status == 200 && page.url.path().ends_with("/account"), "{} {}", page.status, page.body);
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
}

/// The form that asks again who it is, sent twice at once, in a session whose secret has been renewed before.
#[tokio::test]
async fn a_double_confirmation_keeps_the_browser_signed_in() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let agent = server.agent();
    let account = server.at("/account");
    agent.sign_in(&agent.open(&account).await, ALICE, PASSWORD).await;
    for round in 0..6 {
        server.advance(TimeDelta::minutes(6)).await;
        let page = agent.open(&server.at("/login?confirm=password")).await;
        let form = page.sign_in_form(ALICE, PASSWORD);
        let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
        for page in [one, other, agent.submit(&form).await] {
            assert!(
                page.status == 200 && page.url.path().ends_with("/account/password"),
                "round {round}: {} {}",
                page.status,
                page.body
            );
        }
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
}

/// An account page that is open while another tab proves again who is there: its buttons still work. Once somebody else is
/// there they do nothing.
#[tokio::test]
async fn an_account_page_of_before_still_ends_sessions() {
    let server = Server::usual().await;
    let (agent, elsewhere) = (server.agent(), server.agent());
    let account = server.at("/account");
    for browser in [&agent, &elsewhere] {
        browser.sign_in(&browser.open(&account).await, ALICE, PASSWORD).await;
    }
    let page = agent.open(&account).await;
    server.advance(TimeDelta::minutes(6)).await;
    agent.sign_in(&agent.open(&server.at("/login?confirm=password")).await, ALICE, PASSWORD).await;
    let done = agent.submit(&page.form_to("/account/end-others")).await;
    assert!(done.status == 200 && done.body.contains("All other sessions have ended"), "{} {}", done.status, done.body);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL").await, "1");

    agent.sign_in(&agent.open(&server.at("/login")).await, BOB, PASSWORD).await;
    elsewhere.sign_in(&elsewhere.open(&account).await, BOB, PASSWORD).await;
    agent.submit(&page.form_to("/account/end-others")).await.is_error_page(400);
    let live = "SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL";
    assert_eq!(server.value(live).await, "2", "bob's sessions are not alice's to end");
}

/// Nothing but its own form moves a request into another visit: no page that it is opened for, whatever says where it comes from.
#[tokio::test]
async fn a_request_is_moved_by_its_own_form_alone() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (sender, victim) = (server.agent(), server.agent());
    let theirs = sender.open(&client.request("openid").url()).await.sign_in_form(BOB, PASSWORD);
    let id = theirs.field("request").unwrap().to_owned();
    let holder = format!("SELECT session_id FROM authorization_requests WHERE id = '{id}'");
    let before = server.value(&holder).await;
    victim.open(&client.request("openid").url()).await;
    let cookie = victim.cookie();
    for page in ["login", "select-account", "consent", "reset-password", "oauth/authorize"] {
        let address = if page == "oauth/authorize" { format!("/{page}/{id}") } else { format!("/{page}?request={id}") };
        let request = server.http().get(server.at(&address)).header("origin", server.at(""));
        let answer = Answer::of(request.header("cookie", format!("{}={}", cookie.name, cookie.value))).await;
        assert!(!answer.text.contains(&id) && !answer.header("location").contains(&id), "{page}: {}", answer.text);
    }
    let mixed = theirs
        .clone()
        .forge("csrf", victim.open(&client.request("openid").url()).await.form_to("/login").field("csrf"));
    victim.submit(&mixed).await.is_error_page(400);
    victim.submit_from_nowhere(&theirs).await.is_error_page(400);
    assert_eq!(server.value(&holder).await, before);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "0");
}

/// Before anybody has signed in nothing is decided about a request, whatever forms somebody makes up.
#[tokio::test]
async fn a_visitor_decides_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let form = agent.open(&client.request("openid").url()).await.sign_in_form(ALICE, PASSWORD);
    let made_up = |path: &str, decision: &str| {
        let mut made_up = form.clone();
        made_up.action.set_path(path);
        made_up.fields.push(("decision".to_owned(), decision.to_owned()));
        made_up
    };
    for (path, decision) in [
        ("/select-account", "continue"),
        ("/consent", "allow"),
        ("/step-up", "deny"),
        ("/elevation", "deny"),
        ("/privileged-elsewhere", "end-other"),
        ("/privileged-elsewhere", "deny"),
        ("/access", "leave"),
    ] {
        let page = agent.submit(&made_up(path, decision)).await;
        assert!(page.asks_for_password(), "{path}: {} {}", page.status, page.body);
    }
    // Nor is privileged work declined that nobody asked for.
    let consent = agent.submit(&form).await.decision("allow");
    let (request, csrf) = (consent.field("request").unwrap(), consent.field("csrf").unwrap());
    let mut leave = made_up("/access", "leave").forge("csrf", Some(csrf)).forge("request", Some(request));
    leave.fields.retain(|(name, _)| name != "password");
    assert!(agent.submit(&leave).await.offers("allow"));
    assert_eq!(server.value("SELECT count(*) FROM audit_events WHERE action = 'privilege.requested'").await, "0");
    let noted = "SELECT count(*) FROM authorization_requests WHERE selected_at IS NOT NULL OR supersede_at IS NOT NULL";
    assert_eq!(server.value(noted).await, "0");
}
