//! Signing in with several tabs, impatient fingers and wrong passwords.

use chrono::TimeDelta;

use crate::support::{ALICE, BOB, PASSWORD, Server, Settings, agent::Agent, client::Code, token};

/// Alice, signed in and having consented to `web`.
async fn signed_in(server: &Server) -> Agent {
    let agent = server.agent();
    server.client("web").code(&agent, "openid email").await;
    agent
}

/// Two tabs wait; one signs in; both go on as the same person, in one session.
#[tokio::test]
async fn two_tabs_end_signed_in_as_the_same_person() {
    let server = Server::usual().await;
    let (web, spa) = (server.client("web"), server.client("spa"));
    let agent = server.agent();
    let (first, second) = (web.request("openid"), spa.request("openid"));
    let (first_tab, second_tab) = (agent.open(&first.url()).await, agent.open(&second.url()).await);
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, "1", "one visit");
    let page = agent.sign_in(&first_tab, ALICE, PASSWORD).await;
    let first_code = agent.decide(&page, "allow").await.code();
    // The second tab still shows its form.
    let page = agent.sign_in(&second_tab, ALICE, PASSWORD).await;
    let second_code = agent.decide(&page, "allow").await.code();
    let first = web.redeem(&Code { code: first_code, verifier: first.verifier }).await.tokens();
    let second = spa.redeem(&Code { code: second_code, verifier: second.verifier }).await.tokens();
    assert_eq!(token::claims(&first.id)["sub"], token::claims(&second.id)["sub"]);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
    assert!(web.is_active(&first.access).await);
}

/// The second tab is reloaded instead: it goes on without asking.
#[tokio::test]
async fn a_second_tab_resumes_as_the_person_who_signed_in() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let request = client.request("openid");
    let (first_tab, second_tab) = (agent.open(&client.request("openid").url()).await, agent.open(&request.url()).await);
    let page = agent.sign_in(&first_tab, ALICE, PASSWORD).await;
    agent.decide(&page, "allow").await.code();
    let page = agent.open(second_tab.url.as_str()).await;
    let code = Code { code: page.code(), verifier: request.verifier };
    assert_eq!(token::claims(&client.redeem(&code).await.tokens().id)["sub"], server.user_id(ALICE).await);
}

/// Back to the form after it was sent, and sent again: no error page, no second session.
#[tokio::test]
async fn the_back_button_does_no_harm() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let request = client.request("openid");
    let form = agent.open(&request.url()).await;
    let consent = agent.sign_in(&form, ALICE, PASSWORD).await;
    let first = agent.decide(&consent, "allow").await.code();
    // Back to the consent page, and again; the code has not been used: it is the same.
    assert_eq!(agent.decide(&consent, "allow").await.code(), first);
    // Back to the sign-in form.
    let again = agent.sign_in(&form, ALICE, PASSWORD).await;
    assert_eq!(again.code(), first);
    client.redeem(&Code { code: first.clone(), verifier: request.verifier }).await.tokens();
    // Used up, it is not handed out again; the person is told something, and it is not "error".
    let late = agent.sign_in(&form, ALICE, PASSWORD).await;
    assert!(late.status < 400, "{} {}", late.status, late.body);
    assert!(!late.header("location").contains(&first));
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL").await, "1");
    assert_eq!(server.value("SELECT count(*) FROM grants WHERE ended_at IS NOT NULL").await, "0");
}

/// The button is pressed twice before the first answer is there.
#[tokio::test]
async fn a_double_submit_is_one_sign_in_and_one_code() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let client = server.client("web");
    client.code(&server.agent(), "openid").await; // consented before
    for round in 0..6 {
        let agent = server.agent();
        let request = client.request("openid");
        let form = agent.open(&request.url()).await.sign_in_form(ALICE, PASSWORD);
        let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
        let codes = [one.code(), other.code()];
        assert_eq!(codes[0], codes[1], "round {round}: one code");
        // Whichever cookie the browser kept, it is signed in, in the session of the code.
        let silent = client.request("openid").with("prompt", "none");
        let page = agent.open(&silent.url()).await;
        let tokens = client.redeem(&Code { code: codes[0].clone(), verifier: request.verifier }).await.tokens();
        let again = client.redeem(&Code { code: page.code(), verifier: silent.verifier }).await.tokens();
        assert_eq!(token::claims(&tokens.id)["sid"], token::claims(&again.id)["sid"], "round {round}");
        assert!(client.is_active(&tokens.access).await);
    }
    let (user, live) = ("SELECT count(*) FROM sessions WHERE kind = 'user'", " AND ended_at IS NULL");
    assert_eq!(server.value(&format!("{user}{live}")).await, "7", "one session for each round, and the first");
}

/// The same with the form of a re-authentication.
#[tokio::test]
async fn a_double_submit_of_a_re_authentication_keeps_the_browser_signed_in() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    for round in 0..6 {
        server.advance(TimeDelta::minutes(1)).await;
        let request = client.request("openid").with("prompt", "login");
        let form = agent.open(&request.url()).await.sign_in_form(ALICE, PASSWORD);
        let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
        assert_eq!(one.code(), other.code(), "round {round}: one code");
        let silent = agent.open(&client.request("openid").with("prompt", "none").url()).await;
        assert!(silent.answer().contains_key("code"), "round {round}: {:?}", silent.answer());
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
}

#[tokio::test]
async fn a_double_consent_is_one_code() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let client = server.client("web");
    let agent = server.agent();
    let page = agent.open(&client.request("openid").url()).await;
    let form = agent.sign_in(&page, ALICE, PASSWORD).await.decision("allow");
    let (one, other) = tokio::join!(agent.submit(&form), agent.submit(&form));
    assert_eq!(one.code(), other.code());
    assert_eq!(server.value("SELECT count(*) FROM grants").await, "1");
}

/// A wrong password is answered the same for a person who is not there, and shows the form again.
#[tokio::test]
async fn a_wrong_password_reveals_nothing() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    let shown = async |username: &str| -> (u16, String) {
        let answer = agent.sign_in(&page, username, "wrong").await;
        assert!(answer.asks_for_password(), "{}", answer.body);
        assert!(!answer.body.contains("wrong"), "the password is not echoed: {}", answer.body);
        (answer.status, answer.body.replace(username, "NAME"))
    };
    assert_eq!(shown(ALICE).await, shown("nobody-of-this-name").await);
    server.rows("UPDATE users SET disabled_at = now() WHERE username = 'bob'").await;
    let disabled = agent.sign_in(&page, BOB, PASSWORD).await;
    assert!(disabled.asks_for_password(), "{}", disabled.body);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "0");
    assert_eq!(server.events("sign_in", "refused").await, 3);
}

/// Guessing is slowed per account and source; nobody else is kept out by it, and it passes.
#[tokio::test]
async fn guessing_is_throttled() {
    let server = Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await;
    let client = server.client("web");
    let agent = server.agent().forwarded_for("203.0.113.9");
    let page = agent.open(&client.request("openid").url()).await;
    let mut guesses = 0;
    let last = loop {
        let answer = agent.sign_in(&page, ALICE, "a guess").await;
        if answer.status == 429 {
            break answer;
        }
        guesses += 1;
        assert!(guesses < 20, "{guesses} guesses went through");
    };
    assert!(guesses >= 4, "people mistype: {guesses}");
    let seconds = last.header("retry-after").parse::<u32>();
    assert!(seconds.is_ok_and(|seconds| (1..=60).contains(&seconds)), "{:?}", last.headers);
    assert!(last.asks_for_password(), "the form stays: {}", last.body);
    // Not even the right one now, from there.
    assert_eq!(agent.sign_in(&page, ALICE, PASSWORD).await.status, 429);
    // Somebody else at the same address may, and alice elsewhere.
    for (username, address) in [(BOB, "203.0.113.9"), (ALICE, "198.51.100.7")] {
        let other = server.agent().forwarded_for(address);
        let form = other.open(&client.request("openid").url()).await;
        assert!(other.sign_in(&form, username, PASSWORD).await.offers("allow"), "{username} at {address}");
    }
    server.advance(TimeDelta::minutes(2)).await;
    assert!(agent.sign_in(&page, ALICE, PASSWORD).await.offers("allow"));
}

/// Guesses that are made at once do not slip through.
#[tokio::test]
async fn guesses_at_once_are_counted_too() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    let guesses = futures_util::future::join_all((0..40).map(|_| agent.sign_in(&page, ALICE, "a guess"))).await;
    let through = guesses.iter().filter(|answer| answer.status != 429).count();
    assert!((1..20).contains(&through), "{through} of 40 guesses went through");
    // One source cannot go from account to account either.
    let mut names = 0;
    while agent.sign_in(&page, &format!("somebody{names}"), "a guess").await.status != 429 {
        names += 1;
        assert!(names < 100, "one source guessed at {names} accounts");
    }
}
