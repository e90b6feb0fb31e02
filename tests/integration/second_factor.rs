//! One-time codes after the password: enrolling an app, signing in with it, and every way of getting around it.

use chrono::TimeDelta;
use mooring::{audit::Actor, db::users, sessions};

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator::{self, App},
    client::Code,
    declared::{REDIRECT_URI, SECRET},
    token,
};

/// Somebody signed in on the account page, with a password.
async fn signed_in(server: &Server, username: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    assert!(page.url.path().ends_with("/account"), "{}", page.url);
    (agent, page)
}

/// Alice with an app, from a browser of its own.
async fn with_app(server: &Server) -> (Agent, App, Vec<String>) {
    let (agent, _) = signed_in(server, ALICE).await;
    let (app, codes) = authenticator::add(server, &agent).await;
    (agent, app, codes)
}

/// A browser that has given the password and is asked for the code.
async fn asked(server: &Server) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!(page.heading(), "Enter your code", "{}", page.body);
    (agent, page)
}

async fn answer(agent: &Agent, page: &Page, code: &str) -> Page {
    agent.submit(&page.form_to("/second-factor").fill("code", code)).await
}

fn is_account(page: &Page) -> bool {
    page.url.path().ends_with("/account") && page.status == 200
}

async fn live_sessions(server: &Server) -> String {
    server.value("SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL").await
}

/// The whole story: the account page, the app, the mail, the sign-in, what the relying party is told.
#[tokio::test]
async fn a_code_is_asked_for_after_the_password() {
    let server = Server::start(Settings::default().jobs()).await;
    let client = server.client("web");
    let (first, page) = signed_in(&server, ALICE).await;
    assert!(page.body.contains("/account/authenticator"), "{}", page.body);
    let (app, _) = authenticator::add(&server, &first).await;
    let account = first.open(&server.at("/account")).await;
    assert!(account.body.contains("10 recovery codes left"), "{}", account.body);
    assert!(server.mail("one-time codes are switched on").await.text.contains("Firefox on Linux"));
    let sealed = "SELECT octet_length(sealed) || ' ' || (secret_hash IS NULL) FROM credentials WHERE kind = 'totp'";
    assert_eq!(server.value(sealed).await, "48 true", "nonce, secret and tag");

    let agent = server.agent();
    let request = client.request("openid");
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!((page.status, page.heading().as_str()), (200, "Enter your code"), "{}", page.body);
    assert!(page.body.contains("Harbour Web"), "{}", page.body);
    assert_eq!(live_sessions(&server).await, "1", "a password alone makes no session");
    assert!(agent.open(&request.url()).await.asks_for_password());
    let page = answer(&agent, &page, &app.code(&server)).await;
    let page = agent.decide(&page, "allow").await;
    let tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    let claims = token::claims(&tokens.id);
    assert_eq!(claims["acr"], "urn:mooring:acr:mfa");
    assert_eq!(claims["amr"], serde_json::json!(["pwd", "otp", "mfa"]));
    let age = server.clock.now().timestamp() - claims["auth_time"].as_i64().unwrap();
    assert!((0..10).contains(&age), "the code's instant, {age} s ago");
    let proved = "SELECT proved_acr FROM authorization_requests WHERE proved_at IS NOT NULL";
    assert_eq!(server.rows(proved).await, [[Some("urn:mooring:acr:mfa".to_owned())]], "for this request alone");
    assert_eq!(server.events("credential.added", "done").await, 1);
}

/// Whoever has no app signs in as before.
#[tokio::test]
async fn nobody_else_is_asked() {
    let server = Server::usual().await;
    with_app(&server).await;
    signed_in(&server, BOB).await;
}

#[tokio::test]
async fn a_code_is_good_once() {
    let server = Server::usual().await;
    let (_, app, _) = with_app(&server).await;
    let code = app.code(&server);
    let (agent, page) = asked(&server).await;
    assert!(is_account(&answer(&agent, &page, &code).await));
    let (other, page) = asked(&server).await;
    let refused = answer(&other, &page, &code).await;
    assert_eq!((refused.status, refused.heading().as_str()), (401, "Enter your code"), "{}", refused.body);
    assert!(refused.body.contains("role=\"alert\"") && !refused.body.contains(&code), "{}", refused.body);
    let reasons = "SELECT string_agg(reason, ' ') FROM audit_events WHERE action = 'sign_in' AND outcome = 'refused'";
    assert_eq!(server.value(reasons).await, "code_replayed");
    // Nor is one of the step before, once a later one was taken.
    server.advance(TimeDelta::seconds(30)).await;
    let earlier = app.code(&server);
    server.advance(TimeDelta::seconds(30)).await;
    assert!(is_account(&answer(&other, &refused, &app.code(&server)).await));
    let (third, page) = asked(&server).await;
    assert_eq!(answer(&third, &page, &earlier).await.status, 401);
}

/// Clocks are a little off: a step before and after, no more.
#[tokio::test]
async fn a_step_before_and_after_is_taken() {
    let server = Server::usual().await;
    let (_, app, _) = with_app(&server).await;
    let code = app.code(&server);
    server.advance(TimeDelta::seconds(30)).await;
    let (agent, page) = asked(&server).await;
    assert!(is_account(&answer(&agent, &page, &code).await));
    let stale = app.code(&server);
    server.advance(TimeDelta::seconds(61)).await;
    let (agent, page) = asked(&server).await;
    assert_eq!(answer(&agent, &page, &stale).await.status, 401);
}

/// Two browsers, each with the password, send the same code at once: one is signed in.
#[tokio::test]
async fn racing_the_same_code_signs_in_one() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    let (_, app, _) = with_app(&server).await;
    for round in 0..4 {
        server.advance(TimeDelta::minutes(1)).await;
        let browsers = [asked(&server).await, asked(&server).await, asked(&server).await];
        let code = app.code(&server);
        let answers =
            futures_util::future::join_all(browsers.iter().map(|(agent, page)| answer(agent, page, &code))).await;
        assert_eq!(answers.iter().filter(|page| is_account(page)).count(), 1, "round {round}");
    }
}

/// The button is pressed twice: whichever answer the browser keeps, it is signed in.
#[tokio::test]
async fn a_double_submit_is_one_sign_in() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    let (_, app, _) = with_app(&server).await;
    for round in 0..4 {
        server.advance(TimeDelta::minutes(1)).await;
        let (agent, page) = asked(&server).await;
        let form = page.form_to("/second-factor").fill("code", &app.code(&server));
        let (one, other) = tokio::join!(agent.submit_step(&form), agent.submit_step(&form));
        assert_eq!((one.status, other.status), (303, 303), "round {round}: {} {}", one.body, other.body);
        assert!(is_account(&agent.open(&server.at("/account")).await), "round {round}");
    }
    assert_eq!(live_sessions(&server).await, "5");
}

/// The second of two is a form of this browser's like any other, and what is guessed there is counted.
#[tokio::test]
async fn a_double_submit_is_no_side_door() {
    let server = Server::usual().await;
    let (_, app, _) = with_app(&server).await;
    let (agent, page) = asked(&server).await;
    let form = page.form_to("/second-factor").fill("code", &app.code(&server));
    // With the cookie that there was before.
    let late = agent.copy();
    assert!(is_account(&agent.submit(&form).await));
    for forged in [None, Some("AAAA")] {
        late.copy().submit(&form.clone().forge("csrf", forged)).await.is_error_page(400);
    }
    assert_eq!(late.copy().submit_step(&form).await.status, 303);
    let wrong = form.clone().forge("code", Some(&app.wrong_code(&server)));
    let mut guesses = 0;
    while late.copy().submit_step(&wrong).await.status == 400 {
        guesses += 1;
        assert!(guesses < 20, "nobody counts");
    }
    // Not even what is right is told to who has guessed too often.
    assert_eq!((late.copy().submit_step(&form).await.status, guesses > 5), (429, true), "{guesses}");
}

/// The code goes where the password went.
#[tokio::test]
async fn another_browser_cannot_answer() {
    let server = Server::usual().await;
    let (_, app, _) = with_app(&server).await;
    let (agent, page) = asked(&server).await;
    let code = app.code(&server);
    let (bob, _) = signed_in(&server, BOB).await;
    for other in [server.agent(), bob] {
        other.open(page.url.as_str()).await.is_error_page(400);
        answer(&other, &page, &code).await.is_error_page(400);
    }
    // Without the form's token it is not taken either, and the code is not used up by any of it.
    let form = page.form_to("/second-factor").fill("code", &code);
    agent.submit(&form.clone().forge("csrf", Some("AAAA"))).await.is_error_page(400);
    assert!(is_account(&agent.submit(&form).await));
    // And it was answered.
    server.advance(TimeDelta::minutes(1)).await;
    answer(&agent, &page, &app.code(&server)).await.is_error_page(400);
    server.agent().open(&server.at("/second-factor?ceremony=nonsense")).await.is_error_page(400);
}

/// Five wrong ones, and the password has to be given again; the person is told that it is known.
#[tokio::test]
async fn wrong_codes_are_counted() {
    let server = Server::start(Settings::default().jobs()).await;
    let (_, app, _) = with_app(&server).await;
    let (agent, page) = asked(&server).await;
    let wrong = app.wrong_code(&server);
    for _ in 0..4 {
        assert_eq!(answer(&agent, &page, &wrong).await.status, 401);
    }
    // Nothing is wrong with a form that was sent empty.
    assert_eq!(answer(&agent, &page, " ").await.status, 400);
    answer(&agent, &page, &wrong).await.is_error_page(400);
    answer(&agent, &page, &app.code(&server)).await.is_error_page(400);
    assert!(server.mail("wrong codes for your account").await.text.contains("knows your password"));
    assert_eq!(server.events("sign_in", "refused").await, 5);
    let (agent, page) = asked(&server).await;
    assert!(is_account(&answer(&agent, &page, &app.code(&server)).await));
}

/// However often the password is given: guessing codes is slow, from one source and from many.
#[tokio::test]
async fn guessing_codes_is_throttled() {
    let server = Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await;
    let (_, app, _) = with_app(&server).await;
    let mut guesses = 0;
    for network in 0..40 {
        let agent = server.agent().forwarded_for(&format!("203.0.{network}.9"));
        let page = agent.open(&server.at("/account")).await;
        let page = agent.sign_in(&page, ALICE, PASSWORD).await;
        let answer = answer(&agent, &page, &app.wrong_code(&server)).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
            // Not even the right one now.
            assert_eq!(self::answer(&agent, &answer, &app.code(&server)).await.status, 429);
            assert!((10..=20).contains(&guesses), "{guesses} guesses went through");
            return;
        }
        guesses += 1;
    }
    panic!("{guesses} guesses went through");
}

/// What happens to the person between password and code counts.
#[tokio::test]
async fn a_change_in_between_voids_it() {
    let changes: [(&str, &str); 3] = [
        ("another password", "UPDATE credentials SET secret_hash = 'another' WHERE kind = 'password'"),
        ("disabled", "UPDATE users SET disabled_at = now() WHERE username = 'alice'"),
        ("ended", ""),
    ];
    for (what, change) in changes {
        let server = Server::usual().await;
        let (_, app, _) = with_app(&server).await;
        let (agent, page) = asked(&server).await;
        if change.is_empty() {
            let alice = server.user_id(ALICE).await.parse().unwrap();
            server
                .work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await)
                .await;
        } else {
            server.rows(change).await;
        }
        answer(&agent, &page, &app.code(&server)).await.is_error_page(400);
        assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1", "{what}");
        let why = "SELECT reason FROM audit_events WHERE action = 'sign_in' AND outcome = 'refused'";
        assert_eq!(server.value(why).await, "person_changed", "{what}");
    }
}

#[tokio::test]
async fn it_has_to_be_answered_soon() {
    let server = Server::usual().await;
    let (_, app, _) = with_app(&server).await;
    let (agent, page) = asked(&server).await;
    server.advance(TimeDelta::minutes(11)).await;
    answer(&agent, &page, &app.code(&server)).await.is_error_page(400);
}

/// Asked to sign in again, the code is asked for again; the session goes on.
#[tokio::test]
async fn signing_in_again_asks_for_both() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (agent, app, _) = with_app(&server).await;
    let request = client.request("openid").with("prompt", "login");
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!(page.heading(), "Enter your code");
    let page = answer(&agent, &page, &app.code(&server)).await;
    agent.decide(&page, "allow").await.code();
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
    assert_eq!(server.value("SELECT acr FROM sessions WHERE kind = 'user'").await, "urn:mooring:acr:mfa");
}

/// A factor is changed by whoever has just shown the strongest they have, and by nobody else.
#[tokio::test]
async fn removing_it_takes_a_code() {
    let server = Server::start(Settings::default().jobs()).await;
    let (agent, app, _) = with_app(&server).await;
    // Signed in with the password, before there was an app.
    let page = agent.open(&server.at("/account")).await;
    let remove = page.form_to("/account/authenticator/remove");
    let page = agent.submit(&remove).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = answer(&agent, &page, &app.code(&server)).await;
    assert!(is_account(&page), "{}", page.url);
    let page = agent.submit(&page.form_to("/account/authenticator/remove")).await;
    assert!(is_account(&page) && page.body.contains("Codes are not asked for any more"), "{}", page.body);
    server.mail("one-time codes are switched off").await;
    assert_eq!(
        server.value("SELECT count(*) FROM credentials WHERE kind <> 'password' AND ended_at IS NULL").await,
        "0"
    );
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE sealed IS NOT NULL").await, "0");
    signed_in(&server, ALICE).await;

    // An old proof is none.
    server.advance(TimeDelta::minutes(6)).await;
    assert!(agent.open(&server.at("/account/authenticator")).await.asks_for_password());
}

/// A key is taken only with a code of it, by the person it was shown to.
#[tokio::test]
async fn a_key_is_confirmed_by_a_code() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE).await;
    let page = agent.open(&server.at("/account/authenticator")).await;
    let app = App::scan(&page);
    let form = page.form_to("/account/authenticator/add");
    let again = agent.submit(&form.clone().fill("code", &app.wrong_code(&server))).await;
    assert_eq!(again.status, 400);
    assert_eq!(
        App::scan(&again).code(&server),
        app.code(&server),
        "the same key, so that the app need not be told again"
    );
    assert_ne!(App::scan(&agent.open(&server.at("/account/authenticator")).await).code(&server), app.code(&server));

    // Bob sends alice's form with his token: what he confirms is not her key.
    let (bob, _) = signed_in(&server, BOB).await;
    let theirs = bob.open(&server.at("/account/authenticator")).await.form_to("/account/authenticator/add");
    let nonce = form.field("nonce").unwrap();
    let forged = theirs.forge("nonce", Some(nonce)).fill("code", &app.code(&server));
    assert_eq!(bob.submit(&forged).await.status, 400);
    agent.submit(&form.clone().forge("csrf", None).fill("code", &app.code(&server))).await.is_error_page(400);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'totp'").await, "0");

    // Twice at once: one app, one set of codes.
    let form = form.fill("code", &app.code(&server));
    let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
    let headings = [one.heading(), other.heading()];
    assert_eq!(headings.iter().filter(|heading| *heading == "Your recovery codes").count(), 1, "{headings:?}");
    assert_eq!(
        server.value("SELECT count(*) FROM credentials WHERE kind = 'recovery' AND ended_at IS NULL").await,
        "10"
    );
}

/// A person who was disabled and enabled again has what they had.
#[tokio::test]
async fn a_disabled_person_is_not_asked_for_a_code() {
    let server = Server::usual().await;
    with_app(&server).await;
    let alice = server.user_id(ALICE).await.parse().unwrap();
    server.work(async |tx| users::disable(tx, alice).await).await;
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert!(page.asks_for_password() && page.status == 401, "the same answer as ever: {}", page.body);
}

/// What two factors are enough for is had by password and code, given for that very request.
#[tokio::test]
async fn a_code_steps_up() {
    let tables = format!(
        "[[scope]]\nname = \"ledger:write\"\nprivileged = true\nacr = \"urn:mooring:acr:mfa\"\n[[client]]\n\
         client_id = \"books\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid ledger:write\"\n\
         token_endpoint_auth_method = \"client_secret_basic\"\n"
    );
    let server = Server::start(Settings::default().declare(&tables)).await;
    let client = server.client("books");
    let (agent, app, _) = with_app(&server).await;
    let request = client.request("openid ledger:write");
    let page = agent.walk(&request.url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}: {}", page.url, page.body);
    let form = page.forms().into_iter().find_map(|form| form.field("request").map(str::to_owned)).unwrap();
    let login = agent.open(&server.at(&format!("/login?request={form}&as=again"))).await;
    let asked = agent.sign_in(&login, ALICE, PASSWORD).await;
    assert_eq!(asked.heading(), "Enter your code", "{}", asked.body);
    // The password by itself has proved nothing.
    let waiting = agent.open(&server.at(&format!("/oauth/authorize/{form}"))).await;
    assert!(waiting.url.path().ends_with("/step-up"), "{}", waiting.url);
    let page = answer(&agent, &asked, &app.code(&server)).await;
    let tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    assert_eq!(tokens.all["scope"], "openid ledger:write");
    assert_eq!(token::claims(&tokens.id)["acr"], "urn:mooring:acr:mfa");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "1");
}
