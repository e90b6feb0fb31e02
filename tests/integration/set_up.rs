//! The first administrator: one link, one use, one hour.

use chrono::TimeDelta;
use mooring::{
    db::{set_up_links, users},
    jose::{base64url, random_bytes, sha256},
};

use crate::support::{PASSWORD, Server, agent::Page, passkey::Passkey};

/// A link as the server prints it at its start.
async fn link(server: &Server) -> String {
    let token = base64url(&random_bytes::<32>());
    let hash = sha256(&[token.as_bytes()]);
    server.work(async |tx| set_up_links::insert(tx, &hash, tx.now + TimeDelta::hours(1)).await).await;
    server.at(&format!("/set-up?token={token}"))
}

fn filled(page: &Page, username: &str) -> crate::support::page::Form {
    page.form_to("/set-up").fill("username", username).fill("password", PASSWORD).fill("password_again", PASSWORD)
}

async fn administrators(server: &Server) -> String {
    server.value("SELECT string_agg(username, ' ' ORDER BY username) FROM users WHERE admin_at IS NOT NULL").await
}

#[tokio::test]
async fn the_link_makes_one_administrator() {
    let server = Server::usual().await;
    let link = link(&server).await;
    let agent = server.agent();
    let page = agent.open(&link).await;
    // Looking at it does not use it up.
    let page = agent.open(page.url.as_str()).await;
    let done = agent.submit(&filled(&page, "root")).await;
    assert!(done.asks_for_password() && done.body.contains("The administrator is made."), "{}", done.body);
    let account = agent.sign_in(&done, "root", PASSWORD).await;
    assert_eq!(account.heading(), "root");
    assert_eq!(administrators(&server).await, "root");
    assert_eq!(server.events("administrator.set_up", "done").await, 1);

    agent.open(&link).await.is_error_page(404);
    assert!(agent.submit(&filled(&page, "second")).await.status >= 400);
    assert_eq!(administrators(&server).await, "root");
    assert_eq!(server.value("SELECT count(*) FROM users WHERE username = 'second'").await, "0");
}

/// Somebody has to be written to in an emergency; a passkey's page asks for the same.
#[tokio::test]
async fn the_administrator_gives_an_address() {
    let server = Server::usual().await;
    let page = server.agent().open(&link(&server).await).await;
    let wrong = server.agent().submit(&filled(&page, "root").fill("email", "root at harbour")).await;
    assert!(wrong.status == 400 && wrong.body.contains("mail can be sent to"), "{}", wrong.body);
    server.agent().submit(&filled(&wrong, "root").fill("email", " root@harbour.example ")).await;
    assert_eq!(
        server.value("SELECT claims FROM users WHERE username = 'root'").await,
        r#"{"email": "root@harbour.example"}"#
    );
}

/// It guards everybody's account: the estimate decides, too.
#[tokio::test]
async fn a_weak_password_makes_no_administrator() {
    let server = Server::usual().await;
    let page = server.agent().open(&link(&server).await).await;
    for weak in ["password1234567", "qwertyuiop12345"] {
        let form = filled(&page, "root").fill("password", weak).fill("password_again", weak);
        let answer = server.agent().submit(&form).await;
        assert!(
            answer.status == 400 && answer.body.contains("too weak for an administrator"),
            "{weak}: {}",
            answer.body
        );
    }
    assert_eq!(administrators(&server).await, "");
    assert!(server.agent().submit(&filled(&page, "root")).await.asks_for_password());
}

#[tokio::test]
async fn two_racing_uses_make_one() {
    for round in 0..6 {
        let server = Server::usual().await;
        let (first, second) = (server.agent(), server.agent());
        // Of one link, and of the links of two replicas.
        let page = first.open(&link(&server).await).await;
        let other = if round % 2 == 0 { link(&server).await } else { page.url.to_string() };
        let second_page = second.open(&other).await;
        let (first_form, second_form) = (filled(&page, "first"), filled(&second_page, "second"));
        let (one, other) = tokio::join!(first.submit(&first_form), second.submit(&second_form));
        assert_eq!([one.status, other.status].iter().filter(|status| **status < 400).count(), 1);
        assert!(["first", "second"].contains(&administrators(&server).await.as_str()));
        assert_eq!(server.value("SELECT count(*) FROM users").await, "3", "alice, bob and the administrator");
    }
}

/// The operator may hold either of the links that two replicas printed.
#[tokio::test]
async fn a_second_replicas_start_leaves_the_first_link_good() {
    let server = Server::usual().await;
    let (printed, later) = (link(&server).await, link(&server).await);
    let agent = server.agent();
    let form = filled(&agent.open(&printed).await, "root");
    assert_eq!(server.agent().open(&later).await.status, 200);
    assert!(agent.submit(&form).await.status < 400);
    // The administrator is there: no link is good any more.
    for dead in [&printed, &later] {
        agent.open(dead).await.is_error_page(404);
    }
    assert_eq!(administrators(&server).await, "root");
}

#[tokio::test]
async fn it_is_good_for_an_hour() {
    let server = Server::usual().await;
    let new = link(&server).await;
    let agent = server.agent();
    let page = agent.open(&new).await;
    let form = filled(&page, "late");
    server.advance(TimeDelta::minutes(61)).await;
    agent.open(&new).await.is_error_page(404);
    agent.submit(&form).await.is_error_page(404);
    for wrong in ["/set-up", "/set-up?token=", "/set-up?token=guess"] {
        agent.open(&server.at(wrong)).await.is_error_page(404);
    }
    assert_eq!(administrators(&server).await, "");
}

#[tokio::test]
async fn with_an_administrator_it_is_dead() {
    let server = Server::usual().await;
    let link = link(&server).await;
    let agent = server.agent();
    let form = filled(&agent.open(&link).await, "root");
    let alice = server.user_id("alice").await.parse().unwrap();
    server.work(async |tx| users::set_admin(tx, alice, true).await.map(drop)).await;
    agent.open(&link).await.is_error_page(404);
    assert!(agent.submit(&form).await.status >= 400);
    assert_eq!(administrators(&server).await, "alice");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_the_link_stays_good() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&link(&server).await).await;
    let form = page.form_to("/set-up").fill("username", "root");
    for (password, again) in [("short", "short"), (PASSWORD, "another long password"), (PASSWORD, "")] {
        let answer = agent.submit(&form.clone().fill("password", password).fill("password_again", again)).await;
        assert_eq!(answer.status, 400, "{password}");
        assert!(answer.body.contains("role=\"alert\"") && !answer.body.contains(PASSWORD), "{}", answer.body);
        answer.form_to("/set-up");
    }
    // A name that is taken does not use the link up.
    let taken = agent.submit(&filled(&page, " ALICE ")).await;
    assert_eq!(taken.status, 400, "{}", taken.body);
    assert!(agent.submit(&filled(&page, "root")).await.status < 400);
    assert_eq!(administrators(&server).await, "root");
}

/// The first administrator needs no password at all.
#[tokio::test]
async fn the_link_enrols_a_passkey() {
    let server = Server::usual().await;
    let (agent, mut passkey) = (server.agent(), Passkey::new());
    let page = agent.open(&link(&server).await).await;
    for (username, status) in [("", 400), ("\u{202e}toor", 400), (" ALICE ", 409)] {
        let refused = agent.ask(&page, "add-passkey", &[("username", username)]).await.unwrap_err();
        assert_eq!(refused.status, status, "{username}: {}", refused.body);
    }
    let asked =
        agent.ask(&page, "add-passkey", &[("username", "root")]).await.unwrap_or_else(|page| panic!("{}", page.body));
    let made = passkey.create(asked.page(), &asked.options);
    // Nobody else finishes what this browser began.
    let thief = server.agent();
    thief.ask(&page, "add-passkey", &[("username", "thief")]).await.unwrap_or_else(|page| panic!("{}", page.body));
    assert_eq!(thief.answer(&asked, &made).await.status, 403);
    let answer = agent.answer(&asked, &made).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let login = agent.go_on(&answer).await;
    assert!(login.body.contains("The administrator is made."), "{}", login.body);
    assert_eq!(administrators(&server).await, "root");
    assert_eq!(
        server.value("SELECT count(*) FROM credentials WHERE kind = 'password'").await,
        "2",
        "Alice's and Bob's"
    );
    let account = agent.use_passkey(&login, &mut passkey).await;
    assert_eq!(account.heading(), "root");
    // It is their only way in.
    let kept = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(kept.body.contains("your only way"), "{}", kept.body);
    // The link is used up, for passwords too.
    agent.open(page.url.as_str()).await.is_error_page(404);
    assert!(agent.submit(&filled(&page, "second")).await.status >= 400);
    assert_eq!(administrators(&server).await, "root");
}

#[tokio::test]
async fn a_passkey_and_a_password_racing_make_one_administrator() {
    for _ in 0..4 {
        let server = Server::usual().await;
        let link = link(&server).await;
        let (first, second) = (server.agent(), server.agent());
        let page = first.open(&link).await;
        let asked = first
            .ask(&page, "add-passkey", &[("username", "first")])
            .await
            .unwrap_or_else(|page| panic!("{}", page.body));
        let made = Passkey::new().create(asked.page(), &asked.options);
        let form = filled(&second.open(&link).await, "second");
        let (one, other) = tokio::join!(first.answer(&asked, &made), second.submit(&form));
        assert_eq!([one.status, other.status].iter().filter(|status| **status < 400).count(), 1);
        assert!(["first", "second"].contains(&administrators(&server).await.as_str()));
        assert_eq!(
            server.value("SELECT count(*) FROM credentials WHERE user_id NOT IN (SELECT id FROM users)").await,
            "0"
        );
    }
}
