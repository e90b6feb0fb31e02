//! A suspended passkey still counts: whoever has its copy, and the password, gets no further by its suspension.

use chrono::TimeDelta;

use super::asked;
use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    passkey::Passkey,
    process::Installation,
};

/// Its counter goes back.
async fn suspend(server: &Server, passkey: &mut Passkey) {
    let back = "UPDATE credentials SET passkey = jsonb_set(passkey, '{cred,counter}', '1000') WHERE kind = 'passkey'";
    server.rows(back).await;
    let agent = server.agent();
    let asked = asked(server, &agent).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    assert_eq!(agent.answer(&asked, &signed).await.status, 403);
    assert_eq!(server.events("credential.suspended", "done").await, 1);
}

/// Nothing that one signs in with is changed from this account page.
async fn changes_nothing(server: &Server, agent: &Agent, account: &Page) -> Page {
    for form in ["/passkeys/remove", "/passkeys/rename"] {
        let form = account.form_to(form);
        let form = if form.field("credential").is_some() { form.fill("label", "Mine") } else { form.press_first() };
        assert_eq!(agent.submit(&form).await.heading(), "Confirm it is you");
    }
    for page in ["/account/password", "/account/authenticator"] {
        let instead = agent.open(&server.at(page)).await;
        assert_eq!(instead.heading(), "Confirm it is you", "{}", instead.body);
    }
    let instead = agent.ask(account, "add-passkey", &[]).await.unwrap_err();
    agent.go_on(&instead).await
}

#[tokio::test]
async fn without_a_recovery_code_the_operator_withdraws_it() {
    let server = Server::start(Settings::default().jobs()).await;
    let (agent, mut passkey) = server.with_passkey(BOB).await;
    let page = agent.open(&server.at("/login?confirm=account")).await;
    let account = agent.use_passkey(&page, &mut passkey).await;
    suspend(&server, &mut passkey).await;
    // What was proved a moment before may have been proved with the copy.
    changes_nothing(&server, &agent, &account).await;

    let agent = server.agent();
    let account = agent.walk(&server.at("/account"), BOB).await;
    assert!(account.body.contains("please ask whoever runs this service"), "{}", account.body);
    let confirm = changes_nothing(&server, &agent, &account).await;
    assert!(confirm.body.contains("needs your password and a recovery code"), "{}", confirm.body);
    assert!(confirm.data("use-passkey").is_none(), "{}", confirm.body);
    // The password once more is not it.
    let account = agent.sign_in(&confirm, BOB, PASSWORD).await;
    assert_eq!(account.heading(), "Bob Example");
    changes_nothing(&server, &agent, &account).await;

    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "forget-passkeys", BOB]).failed(2);
    operator.run(&["user", "forget-passkeys", "nobody", "--suspended"]).failed(1);
    let run = operator.run(&["user", "forget-passkeys", BOB, "--suspended"]);
    assert!(run.done().contains("withdrawn: 1"), "{}", run.done());
    server.mail("passkey was removed").await;
    let told = "SELECT actor || ' ' || (detail ->> 'kind') FROM audit_events WHERE action = 'credential.removed'";
    assert_eq!(server.value(told).await, "operator passkey");
    let account = agent.open(&server.at("/account")).await;
    assert!(!account.body.contains("there may be a copy"), "{}", account.body);
    let enrolled = agent.enrol_passkey(&account, &mut Passkey::new()).await;
    assert!(enrolled.body.contains("Your passkey is ready"), "{}", enrolled.body);
    // It is for suspended ones.
    let run = operator.run(&["user", "forget-passkeys", BOB, "--suspended"]);
    assert!(run.done().contains("withdrawn: 0"), "{}", run.done());
}

#[tokio::test]
async fn a_recovery_code_makes_up_for_it() {
    let server = Server::usual().await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let page = agent.open(&server.at("/login?confirm=account")).await;
    agent.use_passkey(&page, &mut passkey).await;
    let (app, codes) = authenticator::add(&server, &agent).await;
    suspend(&server, &mut passkey).await;

    let agent = server.agent();
    let answer = async |page: Page, code: &str| {
        let page = agent.sign_in(&page, ALICE, PASSWORD).await;
        agent.submit(&page.form_to("/second-factor").fill("code", code)).await
    };
    // The app is the weaker one of the two that there were.
    let account = answer(agent.open(&server.at("/account")).await, &app.code(&server)).await;
    assert!(account.body.contains("You will be asked for your password and a recovery code"), "{}", account.body);
    let confirm = changes_nothing(&server, &agent, &account).await;
    server.advance(TimeDelta::seconds(31)).await;
    let account = answer(confirm, &app.code(&server)).await;
    let confirm = changes_nothing(&server, &agent, &account).await;
    let account = answer(confirm, &codes[0]).await;
    assert_eq!(account.heading(), "Alice Example");
    let mut new = Passkey::new();
    let account = agent.enrol_passkey(&account, &mut new).await;
    assert!(account.body.contains("Your passkey is ready"), "{}", account.body);
    // Which is the strongest now.
    let confirm = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(confirm.body.contains("needs your passkey"), "{}", confirm.body);
    let account = agent.use_passkey(&confirm, &mut new).await;
    let account = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(account.body.contains("is removed") && !account.body.contains("there may be a copy"), "{}", account.body);
}
