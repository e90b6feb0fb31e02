//! A session that a replaced password proved: its user stays signed in, and changes nothing there until they show who they are.

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    page::Form,
    passkey::Passkey,
    process::Installation,
};

const NEW: &str = "nine gulls over the quay";

async fn signed_in(server: &Server) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let account = agent.sign_in(&page, ALICE, PASSWORD).await;
    (agent, account)
}

fn filled(page: &Page, action: &str, password: &str) -> Form {
    page.form_to(action).fill("password", password).fill("password_again", password)
}

/// Whoever is here keeps the session, and nothing that one signs in with is changed in it.
async fn changes_nothing(server: &Server, agent: &Agent, account: &Page) {
    for page in ["/account/password", "/account/authenticator"] {
        let instead = agent.open(&server.at(page)).await;
        assert_eq!(instead.heading(), "Confirm it is you", "{page}: {}", instead.body);
    }
    let instead = agent.ask(account, "add-passkey", &[("label", "A thief's")]).await.expect_err("no passkey is added");
    assert_eq!(agent.go_on(&instead).await.heading(), "Confirm it is you");
    let client = server.client("web");
    let silent = client.request("openid").with("prompt", "none").with("max_age", "600");
    assert_eq!(agent.open(&silent.url()).await.error(), "login_required");
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'passkey'").await, "0");
}

#[tokio::test]
async fn a_changed_password_changes_no_more() {
    for recorded in [true, false] {
        let server = Server::usual().await;
        let client = server.client("web");
        let (thief, account) = signed_in(&server).await;
        let (owner, _) = signed_in(&server).await;
        client.tokens(&thief, "openid").await;
        if !recorded {
            // As an older release leaves them.
            server.rows("UPDATE sessions SET proved_with = NULL").await;
        }
        let page = owner.open(&server.at("/account/password")).await;
        let changed = owner.submit(&filled(&page, "/account/password", NEW)).await;
        assert!(changed.body.contains("Your password is changed"), "{}", changed.body);

        changes_nothing(&server, &thief, &account).await;
        // The browser at hand goes on.
        let silent = client.request("openid").with("prompt", "none").with("max_age", "600");
        owner.open(&silent.url()).await.code();
        owner.enrol_passkey(&changed, &mut Passkey::new()).await;
    }
}

#[tokio::test]
async fn a_reset_password_changes_no_more() {
    let server = Server::start(Settings::default().jobs()).await;
    let (thief, account) = signed_in(&server).await;
    server.client("web").tokens(&thief, "openid").await;
    let agent = server.agent();
    let page = agent.open(&server.at("/reset-password")).await;
    agent.submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    let link = server.mail("choose a new password").await.link("/reset-password?token=");
    let page = agent.open(&link).await;
    let done = agent.submit(&filled(&page, "/reset-password", NEW)).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    assert_eq!(thief.open(&server.at("/account")).await.heading(), "Alice Example", "the box was not ticked");
    changes_nothing(&server, &thief, &account).await;
}

#[tokio::test]
async fn a_replaced_declared_password_changes_no_more() {
    let declared = |password: &str| format!("[[user]]\nusername = \"{ALICE}\"\npassword = \"{password}\"\n");
    let installation = Installation::new(&declared(PASSWORD));
    let server = installation.serve();
    let thief = server.agent();
    let page = thief.open(&server.at("/account")).await;
    assert_eq!(thief.sign_in(&page, ALICE, PASSWORD).await.heading(), ALICE);
    assert_eq!(thief.open(&server.at("/account/password")).await.heading(), "Change your password");
    assert_eq!(server.stop(), Some(0));
    installation.declare(&declared(NEW));
    let server = installation.serve();
    let thief = thief.over(server.http());
    assert_eq!(thief.open(&server.at("/account")).await.heading(), ALICE);
    assert_eq!(thief.open(&server.at("/account/password")).await.heading(), "Confirm it is you");
    assert_eq!(server.stop(), Some(0));
}
