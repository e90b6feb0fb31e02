//! An attacker's runs, replayed: what is caught, what gets through, and who is hurt. Nobody may be.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::future::join_all;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    passkey::Passkey,
};

/// Addresses are what `X-Forwarded-For` says.
fn proxied() -> Settings {
    Settings::default().set("trusted_proxies", "127.0.0.1/32")
}

/// A browser that was never here, at this address, on the page that asks for a password.
async fn stranger(server: &Server, address: &str) -> (Agent, Page) {
    let agent = server.agent().forwarded_for(address);
    let page = agent.open(&server.at("/login")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    (agent, page)
}

/// What comes of the right password.
async fn sign_in(server: &Server, agent: &Agent, username: &str) -> u16 {
    let page = agent.open(&server.at("/login")).await;
    let answer = agent.submit_step(&page.sign_in_form(username, PASSWORD)).await;
    answer.status
}

/// The address number `n` of one /48: a /64 each, in a /56 each.
fn of_one_48(n: usize) -> String {
    format!("2001:db8:1:{:x}::5", n << 8)
}

/// Guesses at `names`, one after the other, each from the next address; how many were looked at.
async fn guess(
    server: &Server,
    guesses: usize,
    name: impl Fn(usize) -> String,
    from: impl Fn(usize) -> String,
) -> usize {
    let (agent, page) = stranger(server, "198.51.100.1").await;
    let mut looked_at = 0;
    for n in 0..guesses {
        let attacker = agent.clone().forwarded_for(&from(n));
        let answer = attacker.submit_step(&page.sign_in_form(&name(n), &format!("guess number {n}"))).await;
        match answer.status {
            401 => looked_at += 1,
            429 => assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|it| it > 0), "{:?}", answer.headers),
            other => panic!("{other}: {}", answer.body),
        }
    }
    looked_at
}

async fn count(server: &Server, what: &str) -> usize {
    server.value(&format!("SELECT count(*) FROM {what}")).await.parse().unwrap()
}

/// 600 guesses at one account, from 100 networks of one /48: a hundred are looked at (NIST SP 800-63B-4 §3.2.2). The person is
/// told once, and goes on with what they have.
#[tokio::test]
async fn guesses_at_one_account_end_at_a_hundred() {
    let server = Server::start(proxied().jobs()).await;
    let alice = server.agent().forwarded_for("203.0.113.1");
    assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
    let mut passkey = Passkey::new();
    alice.enrol_passkey(&alice.open(&server.at("/account")).await, &mut passkey).await;

    assert_eq!(guess(&server, 600, |_| ALICE.to_owned(), |n| of_one_48(n % 100)).await, 100);
    server.mail("many wrong passwords").await;
    let told = "SELECT count(*) FROM notices WHERE template = 'password_guessed'";
    let warned = "SELECT count(*) FROM audit_events WHERE reason = 'too_many_failures'";
    assert_eq!((server.value(told).await, server.value(warned).await), ("1".to_owned(), "1".to_owned()));

    // Even the right password has to wait, from a browser that alice never signed in with.
    let (elsewhere, page) = stranger(&server, "192.0.2.77").await;
    let waits = elsewhere.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!(waits.status, 429);
    assert!(waits.body.contains("passkey") && waits.asks_for_password(), "{}", waits.body);
    // Others are not concerned.
    assert_eq!(sign_in(&server, &server.agent().forwarded_for("192.0.2.78"), BOB).await, 303);
    // A passkey gets in there, and so does the password in a browser that is known.
    assert_eq!(elsewhere.use_passkey(&waits, &mut passkey).await.heading(), "Alice Example");
    let page = alice.open(&server.at("/account")).await;
    alice.submit(&page.form_to("/sign-out")).await;
    assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
    // That has ended the row of failures.
    let (elsewhere, page) = stranger(&server, "192.0.2.79").await;
    assert_eq!(elsewhere.sign_in(&page, ALICE, PASSWORD).await.heading(), "Alice Example");
}

/// The same at a name that is nobody's: it is answered the same.
#[tokio::test]
async fn guesses_at_nobody_look_like_any_other() {
    let server = Server::start(proxied()).await;
    assert_eq!(guess(&server, 130, |_| "nobody-of-this-name".to_owned(), |n| of_one_48(n % 100)).await, 100);
    assert_eq!(count(&server, "notices").await, 0);
}

/// What is refused leaves nothing behind; what was counted goes when it has leaked.
#[tokio::test]
async fn refused_guesses_are_not_kept() {
    let server = Server::start(proxied()).await;
    assert_eq!(guess(&server, 100, |_| ALICE.to_owned(), of_one_48).await, 100);
    let full = count(&server, "throttles").await;
    assert_eq!(guess(&server, 50, |_| ALICE.to_owned(), |n| format!("203.0.113.{n}")).await, 0);
    assert_eq!(count(&server, "throttles").await, full);
    server.advance(TimeDelta::hours(101)).await;
    server.work(async |tx| mooring::db::throttles::sweep(tx, 1000).await).await;
    assert_eq!(count(&server, "throttles").await, 0);
}

/// Guesses at ever other accounts: each source, /56 and /48 has a bucket. They leak while the test runs.
#[tokio::test]
async fn spraying_is_bounded_by_each_network() {
    type From = fn(usize) -> String;
    let networks: [(From, usize, f64); 4] = [
        (|_| "203.0.113.9".to_owned(), 40, 0.5),
        (|_| "2001:db8:7:1::9".to_owned(), 40, 0.5),
        (|n| format!("2001:db8:8:{n:x}::9"), 80, 1.0),
        (of_one_48, 240, 3.0),
    ];
    for (from, size, leak) in networks {
        let server = Server::start(proxied()).await;
        let begun = Instant::now();
        let looked_at = guess(&server, size + 60, |n| format!("name-{n}"), |n| from(n % 250)).await;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few")]
        let leaked = (begun.elapsed().as_secs_f64() * leak).ceil() as usize;
        assert!((size..=size + leaked).contains(&looked_at), "{}: {looked_at} of {size} + {leaked}", from(0));
    }
}

/// Nine in the morning: 64 people at one address sign in at once, from browsers that were never here. All of them get in.
#[tokio::test]
async fn an_office_signs_in_at_once() {
    let person = |n| format!("[[user]]\nusername = \"person{n}\"\npassword = \"{PASSWORD}\"\n");
    let people = (0..64).map(person).collect::<Vec<_>>().concat();
    let server = Server::start(proxied().declare(&people).connections(8)).await;
    for morning in 0..2 {
        let pages = join_all((0..64).map(|_| stranger(&server, "203.0.113.9"))).await;
        let answers = join_all(pages.iter().enumerate().map(async |(n, (agent, page))| {
            agent.submit_step(&page.sign_in_form(&format!("person{n}"), PASSWORD)).await.status
        }))
        .await;
        assert_eq!(answers, [303; 64], "morning {morning}");
    }
}

/// One guesser uses up an address. People who are known there sign in all the same, and so does a passkey in a new browser.
#[tokio::test]
async fn a_guesser_keeps_no_neighbour_out() {
    const HERE: &str = "203.0.113.9";
    let server = Server::start(proxied()).await;
    let (alice, bob) = (server.agent().forwarded_for(HERE), server.agent().forwarded_for(HERE));
    for (agent, name) in [(&alice, ALICE), (&bob, BOB)] {
        assert_eq!(sign_in(&server, agent, name).await, 303);
    }
    let mut passkey = Passkey::new();
    bob.enrol_passkey(&bob.open(&server.at("/account")).await, &mut passkey).await;

    assert!(guess(&server, 60, |n| format!("name-{n}"), |_| HERE.to_owned()).await < 60);
    let (unknown, page) = stranger(&server, HERE).await;
    assert_eq!(unknown.sign_in(&page, ALICE, PASSWORD).await.status, 429);
    for _ in 0..3 {
        // They sign out and in again, as good sign-ins beside the guesser.
        let page = alice.open(&server.at("/account")).await;
        alice.submit(&page.form_to("/sign-out")).await;
        assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
        assert_eq!(unknown.sign_in(&page_of(&server, &unknown).await, ALICE, PASSWORD).await.status, 429);
    }
    let (new, page) = stranger(&server, HERE).await;
    assert_eq!(new.use_passkey(&page, &mut passkey).await.heading(), "Bob Example");
    // A device is known to its person alone.
    let page = alice.open(&server.at("/account")).await;
    alice.submit(&page.form_to("/sign-out")).await;
    assert_eq!(sign_in(&server, &alice, BOB).await, 429);
}

async fn page_of(server: &Server, agent: &Agent) -> Page {
    agent.open(&server.at("/login")).await
}

/// A known device has a bucket of its own, too: whoever has stolen one does not guess without end.
#[tokio::test]
async fn a_known_device_does_not_guess_for_ever() {
    let server = Server::start(proxied()).await;
    let alice = server.agent().forwarded_for("203.0.113.1");
    assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
    alice.submit(&alice.open(&server.at("/account")).await.form_to("/sign-out")).await;
    let page = page_of(&server, &alice).await;
    let mut looked_at = 0;
    for n in 0..30 {
        let from = alice.clone().forwarded_for(&format!("198.51.100.{n}"));
        looked_at += usize::from(from.submit_step(&page.sign_in_form(ALICE, "a guess")).await.status == 401);
    }
    assert_eq!(looked_at, 10);
    // Its guesses are its own: alice signs in elsewhere.
    assert_eq!(sign_in(&server, &server.agent().forwarded_for("192.0.2.1"), ALICE).await, 303);
}

/// Locked out of every browser, without a passkey: the mailbox is the way in, whatever goes on meanwhile.
#[tokio::test]
async fn a_reset_by_mail_gets_in_while_others_guess() {
    let server = Server::start(proxied().jobs()).await;
    let known = server.agent().forwarded_for("192.0.2.9");
    assert_eq!(sign_in(&server, &known, ALICE).await, 303);
    assert_eq!(guess(&server, 110, |_| ALICE.to_owned(), of_one_48).await, 100);
    let owner = server.agent().forwarded_for("203.0.113.1");
    let page = owner.open(&server.at("/reset-password")).await;
    owner.submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    let link = server.mail("choose a new password").await.link("/reset-password?token=");
    let new = "nine gulls over the quay";
    let form = owner.open(&link).await.form_to("/reset-password");
    let done = owner.submit(&form.fill("password", new).fill("password_again", new)).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    // The guessers go on at once.
    assert_eq!(guess(&server, 110, |_| ALICE.to_owned(), |n| of_one_48(n + 100)).await, 100);
    let page = owner.open(&server.at("/login")).await;
    assert_eq!(owner.sign_in(&page, ALICE, new).await.heading(), "Alice Example");
    // What was known before the reset is a stranger now.
    known.submit(&known.open(&server.at("/account")).await.form_to("/sign-out")).await;
    assert!(known.device().is_some());
    for n in 0..11 {
        let page = page_of(&server, &known).await;
        let status = known.clone().forwarded_for(&format!("192.0.2.{n}")).sign_in(&page, ALICE, "a guess").await.status;
        assert_eq!(status, 401, "{n}");
    }
}

/// Somebody knows the password and guesses at codes: who has signed in here before enters theirs all the same.
#[tokio::test]
async fn guessed_codes_keep_no_owner_out() {
    let server = Server::start(proxied()).await;
    let alice = server.agent().forwarded_for("203.0.113.1");
    assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
    let (app, _) = authenticator::add(&server, &alice).await;
    alice.submit(&alice.open(&server.at("/account")).await.form_to("/sign-out")).await;

    let mut looked_at = 0;
    for n in 0..30 {
        let (thief, page) = stranger(&server, &format!("198.51.{n}.7")).await;
        let asked = thief.sign_in(&page, ALICE, PASSWORD).await;
        let form = asked.form_to("/second-factor").fill("code", &app.wrong_code(&server));
        looked_at += usize::from(thief.submit(&form).await.status == 401);
    }
    assert_eq!(looked_at, 15);
    let page = page_of(&server, &alice).await;
    let asked = alice.sign_in(&page, ALICE, PASSWORD).await;
    let page = alice.submit(&asked.form_to("/second-factor").fill("code", &app.code(&server))).await;
    assert_eq!(page.heading(), "Alice Example", "{}", page.body);
}

/// 160 callers from as many addresses have passwords of one account checked, at the price that passwords have. Twelve good
/// sign-ins come in between.
#[tokio::test]
async fn a_flood_of_checks_keeps_nobody_waiting_for_ever() {
    let settings = proxied().set("passwords.memory_kib", "19456").set("passwords.iterations", "2");
    let server = Server::start(settings.set("passwords.concurrency", "1").connections(8)).await;
    let known = server.agent().forwarded_for("203.0.113.1");
    assert_eq!(sign_in(&server, &known, ALICE).await, 303);
    known.submit(&known.open(&server.at("/account")).await.form_to("/sign-out")).await;
    let (agent, page) = stranger(&server, "198.51.100.1").await;
    let flood = async {
        join_all((0..160).map(async |n| {
            let attacker = agent.clone().forwarded_for(&format!("198.51.100.{n}"));
            attacker.submit_step(&page.sign_in_form(ALICE, "a guess")).await.status
        }))
        .await
    };
    let good = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut answers = Vec::new();
        for n in 0..6 {
            let new = server.agent().forwarded_for(&format!("192.0.2.{n}"));
            answers.push(sign_in(&server, &new, BOB).await);
            answers.push(sign_in(&server, &known, ALICE).await);
            known.submit(&known.open(&server.at("/account")).await.form_to("/sign-out")).await;
        }
        answers
    };
    let (guessed, good) = tokio::join!(flood, good);
    assert_eq!(good, [303; 12]);
    assert!(guessed.iter().all(|status| [401, 429, 503].contains(status)), "{guessed:?}");
}

/// An address that has had us remember as many strangers as may be: who was here before begins all the same, and a passkey that
/// a page asks for is not counted.
#[tokio::test]
async fn a_full_address_leaves_known_browsers_and_passkeys() {
    const HERE: &str = "203.0.113.9";
    let server = Server::start(proxied()).await;
    let alice = server.agent().forwarded_for(HERE);
    assert_eq!(sign_in(&server, &alice, ALICE).await, 303);
    let mut passkey = Passkey::new();
    alice.enrol_passkey(&alice.open(&server.at("/account")).await, &mut passkey).await;
    alice.submit(&alice.open(&server.at("/account")).await.form_to("/sign-out")).await;
    let (open, page) = stranger(&server, HERE).await;

    let url = server.client("web").request("openid").url();
    let new = async || server.agent().forwarded_for(HERE).open(&url).await.status;
    assert_eq!(new().await, 200);
    // Thousands more.
    let full = server.clock.now() + TimeDelta::hours(1);
    server.rows(&format!("UPDATE throttles SET empty_at = '{full}'")).await;
    assert_eq!(new().await, 429);
    assert_eq!(alice.open(&url).await.status, 200);
    assert_eq!(open.use_passkey(&page, &mut passkey).await.heading(), "Alice Example");
}

/// Questions that nobody answers are not kept without end.
#[tokio::test]
async fn asking_for_passkeys_fills_nothing() {
    let server = Server::start(proxied()).await;
    let (agent, page) = stranger(&server, "203.0.113.9").await;
    for _ in 0..40 {
        agent.ask(&page, "use-passkey", &[]).await.unwrap();
    }
    assert_eq!(count(&server, "ceremonies").await, 16);
}
