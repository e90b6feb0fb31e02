//! What pages promise about others is kept: those who may approve, and every administrator, are written to, and where nobody can
//! be, the page says so.

use super::{ALICE, Approver, CAROL, DAVE, Requester, SCOPE, Server, settings};
use crate::support::{agent::Page, process::Installation};

async fn with_jobs() -> Server {
    let server = Server::start(settings().jobs()).await;
    for name in [ALICE, CAROL, DAVE] {
        server.enrol(name, "passkey").await;
    }
    server
}

async fn account(server: &Server, username: &str) -> Page {
    server.agent().walk(&server.at("/account"), username).await
}

#[tokio::test]
async fn those_who_may_approve_are_written_to() {
    let server = with_jobs().await;
    assert!(account(&server, CAROL).await.body.contains(">Identity Hub</a>"));
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The books of May", "5").await;
    assert!(alice.page.body.contains("Another person has been asked to agree."), "{}", alice.page.body);
    let mail = server.mail("waits for your approval").await;
    for told in [
        "alice",
        "Open the vault (vault:open) in The Vault (vault)",
        "The books of May",
        "5 minutes",
        "/hub/elevations",
    ] {
        assert!(mail.text.contains(told), "{told}: {}", mail.text);
    }
    let mut to: Vec<String> = server.mails().into_iter().map(|mail| mail.to).collect();
    to.sort();
    assert_eq!(to, ["carol@example.com", "dave@example.com"], "not who asks, not who may not");

    // Their account page leads there; that of others does not.
    assert!(account(&server, CAROL).await.body.contains(">Identity Hub (1 waiting)</a>"));
    assert!(!account(&server, ALICE).await.body.contains("Identity Hub"));
    Approver::arrive(&server, CAROL).await.decide("refuse", "Not today").await;
    assert!(account(&server, DAVE).await.body.contains(">Identity Hub</a>"));
}

/// One's own request is for others to decide.
#[tokio::test]
async fn ones_own_request_does_not_wait_for_oneself() {
    let server = with_jobs().await;
    Requester::arrive(&server, CAROL, SCOPE).await.ask("The books of May", "5").await;
    assert!(account(&server, CAROL).await.body.contains(">Identity Hub</a>"));
    assert!(account(&server, DAVE).await.body.contains(">Identity Hub (1 waiting)</a>"));
    assert_eq!(server.mail("waits for your approval").await.to, "dave@example.com");
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn asking_again_and_again_fills_no_mailbox() {
    let server = with_jobs().await;
    let mut alice = Requester::arrive(&server, ALICE, SCOPE).await;
    for _ in 0..9 {
        alice = alice.ask("Please", "5").await;
        alice.page = alice.agent.decide(&alice.page, "withdraw").await;
    }
    let queued = "SELECT count(*) FROM notices WHERE template = 'approval_wanted'";
    assert_eq!(server.value(queued).await, "10", "five, to two people");
}

/// Nobody has an address: nothing is promised that cannot be kept.
#[tokio::test]
async fn where_nobody_can_be_written_to_the_page_says_so() {
    let server = with_jobs().await;
    server.rows("UPDATE users SET claims = claims - 'email' WHERE username = 'dave'").await;
    let drill = "openid vault:drill";
    let page = Requester::arrive(&server, ALICE, drill).await.page;
    assert!(page.body.contains("Every administrator who has a mail address is told at once"), "{}", page.body);
    server.rows("UPDATE users SET claims = claims - 'email' WHERE username = 'carol'").await;
    let alice = Requester::arrive(&server, ALICE, drill).await;
    assert!(alice.page.body.contains("No administrator has a mail address here"), "{}", alice.page.body);
    let alice = alice.ask("The books of May", "5").await;
    assert!(!alice.page.body.contains("has been asked"), "{}", alice.page.body);
    assert!(alice.page.body.contains("Nobody who may agree has a mail address here"), "{}", alice.page.body);

    // An operator adds one.
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "set", DAVE, "--email", "no address"]).failed(2);
    operator.run(&["user", "set", DAVE]).failed(2);
    operator.run(&["user", "set", "nobody", "--email", "nobody@example.com"]).failed(1);
    let run = operator.run(&["user", "set", DAVE, "--email", "dave@harbour.example", "--email-verified"]);
    assert_eq!(run.done().trim(), "changed of dave: email, email_verified");
    assert!(alice.look().await.body.contains("Another person has been asked to agree."));
    let shown = operator.run(&["user", "show", DAVE]).done().to_owned();
    assert!(
        shown.contains("email: dave@harbour.example (verified)") && shown.contains("administrator: yes"),
        "{shown}"
    );
    let listed: serde_json::Value = serde_json::from_str(operator.run(&["user", "list", "--json"]).done()).unwrap();
    let dave = listed.as_array().unwrap().iter().find(|user| user["username"] == DAVE).unwrap().clone();
    assert_eq!((&dave["email"], &dave["admin"]), (&"dave@harbour.example".into(), &true.into()));
    // Of another address nobody knows whether it is theirs.
    operator.run(&["user", "set", DAVE, "--email", "d@harbour.example", "--name", "Dave"]).done();
    let dave: serde_json::Value = serde_json::from_str(operator.run(&["user", "show", DAVE, "--json"]).done()).unwrap();
    assert_eq!((&dave["email_verified"], &dave["name"]), (&serde_json::Value::Null, &"Dave".into()));
    assert_eq!(server.events("user.changed", "done").await, 2);
    operator.run(&["user", "set", DAVE, "--no-email"]).done();
    assert!(operator.run(&["user", "show", DAVE]).done().contains("email: none"));
}
