//! A suspended passkey still counts: whoever has its copy, and the password, gets no further by its suspension, nor with what
//! they have proved before.

use std::time::Duration;

use chrono::TimeDelta;
use mooring::{db::credentials, sessions::Proof};
use uuid::Uuid;

use super::{asked, reason};
use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    client::Code,
    passkey::Passkey,
    process::Installation,
    proof::request_of,
};

const SCOPE: &str = "openid payments:write";

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
    let (before, mut passkey) = server.with_passkey(BOB).await;
    let page = before.open(&server.at("/login?confirm=account")).await;
    let proved = before.use_passkey(&page, &mut passkey).await;
    suspend(&server, &mut passkey).await;
    // What was proved a moment before may have been proved with the copy.
    changes_nothing(&server, &before, &proved).await;

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
    // That makes nothing good of before.
    changes_nothing(&server, &before, &proved).await;
    let account = agent.open(&server.at("/account")).await;
    assert!(!account.body.contains("there may be a copy"), "{}", account.body);
    let enrolled = agent.enrol_passkey(&account, &mut Passkey::new()).await;
    assert!(enrolled.body.contains("Your passkey is ready"), "{}", enrolled.body);
    // It is for suspended ones; who lost theirs is helped otherwise.
    let run = operator.run(&["user", "forget-passkeys", BOB, "--suspended"]);
    assert!(run.done().contains("withdrawn: 0"), "{}", run.done());
    operator.run(&["user", "forget-passkeys", BOB, "--suspended", "--all"]).failed(2);
    let confirm = agent.open(&server.at("/login?confirm=account")).await;
    assert!(!confirm.asks_for_password(), "{}", confirm.body);
    let run = operator.run(&["user", "forget-passkeys", BOB, "--all"]);
    assert!(run.done().contains("passkeys of bob withdrawn: 1"), "{}", run.done());
    let confirm = agent.open(&server.at("/login?confirm=account")).await;
    let account = agent.sign_in(&confirm, BOB, PASSWORD).await;
    agent.enrol_passkey(&account, &mut Passkey::new()).await;
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
    // Whoever takes the wrong one does not lock themselves out.
    let removals: Vec<_> =
        account.forms().into_iter().filter(|form| form.action.path().ends_with("/passkeys/remove")).collect();
    let account = agent.submit(&removals[1].clone().press_first()).await;
    assert!(account.body.contains("Remove the suspended passkey first"), "{}", account.body);
    let account = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(account.body.contains("is removed") && !account.body.contains("there may be a copy"), "{}", account.body);
}

/// The copy may have been used for it.
#[tokio::test]
async fn privileged_work_of_before_is_over() {
    let server = Server::usual().await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let (client, other) = (server.client("web"), server.client("web2"));
    let request = client.request(SCOPE);
    let page = agent.walk(&request.url(), ALICE).await;
    let code = Code { code: agent.use_passkey(&page, &mut passkey).await.code(), verifier: request.verifier };
    let tokens = client.redeem(&code).await.tokens();
    // Proved for, and not gone on with.
    let page = agent.walk(&other.request(SCOPE).url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    assert!(client.is_active(&tokens.access).await);
    suspend(&server, &mut passkey).await;

    assert!(!client.is_active(&tokens.access).await);
    assert_eq!(client.refresh(&tokens.refresh).await.tokens().all["scope"], "openid");
    let told = "SELECT actor || ' ' || reason FROM audit_events WHERE action = 'session.ended' AND kind = 'privileged'";
    assert_eq!(server.value(told).await, "server passkey_suspended");
    assert_eq!(agent.open(&server.at("/account")).await.heading(), "Alice Example", "she stays signed in");
    // Another passkey of hers proves it, from now on.
    server.enrol(ALICE, "passkey").await;
    let resume = server.at(&format!("/oauth/authorize/{}", request_of(&page)));
    for ended in ["NULL", "now()"] {
        server.rows(&format!("UPDATE credentials SET ended_at = {ended} WHERE suspended_at IS NOT NULL")).await;
        let page = agent.walk(&resume, ALICE).await;
        assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    }
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    agent.walk(&resume, ALICE).await.code();
}

/// What a watcher has stopped is not freed by it.
#[tokio::test]
async fn a_lock_outlasts_a_suspension() {
    let server = Server::usual().await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let step_up = agent.walk(&server.client("web").request(SCOPE).url(), ALICE).await;
    agent.use_passkey(&step_up, &mut passkey).await.code();
    server.rows("UPDATE sessions SET locked_at = now(), lock_reason = 'watched' WHERE kind = 'privileged'").await;
    suspend(&server, &mut passkey).await;
    assert_eq!(server.value("SELECT end_reason FROM sessions WHERE kind = 'privileged'").await, "passkey_suspended");
    server.enrol(ALICE, "passkey").await;
    for agent in [agent, server.agent()] {
        let page = agent.walk(&server.client("web").request(SCOPE).url(), ALICE).await;
        server.prove(&page, ALICE, Proof::PASSKEY).await;
        let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), ALICE).await;
        assert_eq!(back.error(), "access_denied", "{}", back.url);
    }
}

/// The code is on its way, and has been judged, when the passkey is suspended.
#[tokio::test]
async fn no_work_begins_with_a_proof_of_before() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let suspected: Uuid = server.value("SELECT id FROM credentials WHERE kind = 'passkey'").await.parse().unwrap();
    server.enrol(ALICE, "passkey").await;
    let agent = server.agent();
    let page = agent.walk(&server.client("web").request(SCOPE).url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    let resume = server.at(&format!("/oauth/authorize/{}", request_of(&page)));
    let coming = server.work(async |tx| {
        credentials::lock_person(tx, alice).await?;
        credentials::suspend(tx, suspected, "counter_went_back").await?;
        let (agent, resume) = (agent.clone(), resume.clone());
        let coming = tokio::spawn(async move { agent.open(&resume).await });
        // Time enough to be judged by what still holds, and to wait for the person.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!coming.is_finished(), "it waits");
        Ok(coming)
    });
    let page = coming.await.await.unwrap();
    assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "0");
}

/// Whoever signs in with a passkey and whoever withdraws it do not wait for each other.
#[tokio::test]
async fn a_passkey_is_withdrawn_while_it_signs_in() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    let agent = server.agent();
    let asked = asked(&server, &agent).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    let coming = server.work(async |tx| {
        credentials::lock_person(tx, alice).await?;
        let coming = tokio::spawn(async move { agent.answer(&asked, &signed).await });
        tokio::time::sleep(Duration::from_millis(700)).await;
        for passkey in credentials::load_passkeys(tx, alice).await? {
            credentials::end_passkey(tx, alice, passkey.id).await?;
        }
        Ok(coming)
    });
    assert_eq!(coming.await.await.unwrap().status, 403);
    assert_eq!(reason(&server).await, "unknown_passkey");
}
