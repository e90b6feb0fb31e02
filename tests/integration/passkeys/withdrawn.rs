//! A proof counts only while the credential that gave it lives.

use std::time::Duration;

use chrono::TimeDelta;
use mooring::{db::credentials, sessions::Proof};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    client::{Client, Code, Tokens},
    passkey::Passkey,
    process::Installation,
    proof::request_of,
    token,
};

const SCOPE: &str = "openid payments:write";

/// Alice has two passkeys and has used the first for privileged work.
pub(super) struct Story {
    pub(super) server: Server,
    pub(super) agent: Agent,
    pub(super) first: Passkey,
    pub(super) second: Passkey,
}

impl Story {
    pub(super) async fn begin() -> Self {
        let server = Server::usual().await;
        let (agent, mut first) = server.with_passkey(ALICE).await;
        let page = agent.open(&server.at("/login?confirm=account")).await;
        let account = agent.use_passkey(&page, &mut first).await;
        let mut second = Passkey::new();
        agent.enrol_passkey(&account, &mut second).await;
        Self { server, agent, first, second }
    }

    fn client(&self) -> Client<'_> {
        self.server.client("web")
    }

    /// A code for privileged work, proved by the first passkey.
    async fn code(&mut self) -> Code {
        let request = self.server.client("web").request(SCOPE);
        let page = self.agent.walk(&request.url(), ALICE).await;
        Code { code: self.agent.use_passkey(&page, &mut self.first).await.code(), verifier: request.verifier }
    }

    /// Another browser, which the second passkey opens, removes the first.
    pub(super) async fn remove_first(&mut self) -> Page {
        let agent = self.server.agent();
        let page = agent.open(&self.server.at("/login")).await;
        let account = agent.use_passkey(&page, &mut self.second).await;
        let removed = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
        assert!(removed.body.contains("That passkey is removed"), "{}", removed.body);
        removed
    }
}

async fn scope(client: &Client<'_>, tokens: &Tokens) -> String {
    client.refresh(&tokens.refresh).await.tokens().all["scope"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_removed_passkey_proved_is_over() {
    let mut story = Story::begin().await;
    let code = story.code().await;
    let tokens = story.client().redeem(&code).await.tokens();
    let in_flight = {
        let request = story.client().request(SCOPE);
        Code { code: story.agent.walk(&request.url(), ALICE).await.code(), verifier: request.verifier }
    };
    // Proved for another client, and not gone on with.
    let other = story.server.client("web2").request(SCOPE);
    let page = story.agent.walk(&other.url(), ALICE).await;
    story.server.prove(&page, ALICE, Proof::PASSKEY).await;
    let first = story.server.value("SELECT id FROM credentials WHERE kind = 'passkey' ORDER BY id LIMIT 1").await;
    let with = format!("UPDATE authorization_requests SET proved_with = '{{{first}}}' WHERE completed_at IS NULL");
    story.server.rows(&with).await;
    assert!(story.client().is_active(&tokens.access).await);
    story.remove_first().await;

    let (server, client) = (&story.server, story.client());
    assert!(!client.is_active(&tokens.access).await);
    assert_eq!(scope(&client, &tokens).await, "openid");
    client.redeem(&in_flight).await.refused("invalid_grant");
    let silent = story.agent.walk(&client.request(SCOPE).with("prompt", "none").url(), ALICE).await;
    assert_eq!(silent.error(), "login_required");
    let told = "SELECT actor || ' ' || reason FROM audit_events WHERE action = 'session.ended' AND kind = 'privileged'";
    assert_eq!(server.value(told).await, "user credential_removed");
    let resume = server.at(&format!("/oauth/authorize/{}", request_of(&page)));
    let page = story.agent.walk(&resume, ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.url);
    assert_eq!(story.agent.open(&server.at("/account")).await.heading(), "Alice Example", "she stays signed in");
    // The other passkey proves it.
    story.agent.use_passkey(&page, &mut story.second).await.code();
}

#[tokio::test]
async fn what_another_passkey_proved_goes_on() {
    let mut story = Story::begin().await;
    let request = story.client().request(SCOPE);
    let page = story.agent.walk(&request.url(), ALICE).await;
    let code =
        Code { code: story.agent.use_passkey(&page, &mut story.second).await.code(), verifier: request.verifier };
    let tokens = story.client().redeem(&code).await.tokens();
    story.remove_first().await;
    let client = story.client();
    assert!(client.is_active(&tokens.access).await);
    assert_eq!(scope(&client, &tokens).await, SCOPE);
    let silent = story.agent.walk(&client.request(SCOPE).with("prompt", "none").url(), ALICE).await;
    silent.code();
}

/// The session was signed in with it: it is no stronger than a password any more, for tokens and for changes.
#[tokio::test]
async fn a_user_session_loses_its_strength() {
    let mut story = Story::begin().await;
    let page = story.agent.open(&story.server.at("/login?confirm=account")).await;
    let account = story.agent.use_passkey(&page, &mut story.first).await;
    story.remove_first().await;
    let confirm = story.agent.submit(&account.form_to("/passkeys/rename").fill("label", "Mine")).await;
    assert_eq!(confirm.heading(), "Confirm it is you");
    let essential = r#"{"id_token":{"acr":{"essential":true,"value":"phr"}}}"#;
    let request = story.client().request("openid").with("claims", essential);
    let page = story.agent.walk(&request.url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.url);
    let page = story.agent.use_passkey(&page, &mut story.second).await;
    story.agent.decide(&page, "allow").await.code();
}

#[tokio::test]
async fn the_operator_withdraws_what_was_proved() {
    let mut story = Story::begin().await;
    let code = story.code().await;
    let tokens = story.client().redeem(&code).await.tokens();
    let operator = Installation::on(story.server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "forget-passkeys", ALICE, "--all"]).done();
    let client = story.client();
    assert!(!client.is_active(&tokens.access).await);
    assert_eq!(scope(&client, &tokens).await, "openid");
    let told = "SELECT actor || ' ' || reason FROM audit_events WHERE action = 'session.ended' AND kind = 'privileged'";
    assert_eq!(story.server.value(told).await, "operator credential_removed");
}

/// The schema does it: a program that knows nothing of proofs withdraws a passkey.
#[tokio::test]
async fn no_way_of_losing_a_credential_forgets_it() {
    for lose in ["ended_at = now()", "suspended_at = now()"] {
        let mut story = Story::begin().await;
        let code = story.code().await;
        let tokens = story.client().redeem(&code).await.tokens();
        story.server.rows(&format!("UPDATE credentials SET {lose} WHERE kind = 'passkey'")).await;
        let client = story.client();
        assert!(!client.is_active(&tokens.access).await, "{lose}");
        assert_eq!(scope(&client, &tokens).await, "openid", "{lose}");
    }
}

/// The code is on its way, and the proof was found good, when the passkey goes.
#[tokio::test]
async fn a_removal_overtakes_a_code_that_is_being_issued() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let removed: Uuid = server.value("SELECT id FROM credentials WHERE kind = 'passkey'").await.parse().unwrap();
    let agent = server.agent();
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    // By a proof for the request, and by one that is remembered.
    for remembered in [false, true] {
        server.rows("UPDATE credentials SET ended_at = NULL WHERE kind = 'passkey'").await;
        let page = agent.walk(&server.client("web").request(SCOPE).url(), ALICE).await;
        server.prove(&page, ALICE, Proof::PASSKEY).await;
        let mut url = server.at(&format!("/oauth/authorize/{}", request_of(&page)));
        if remembered {
            agent.walk(&url, ALICE).await.code();
            url = server.client("web").request(SCOPE).url();
        }
        let coming = server.work(async |tx| {
            credentials::lock_person(tx, alice).await?;
            let (agent, url) = (agent.clone(), url.clone());
            let coming = tokio::spawn(async move { agent.walk(&url, ALICE).await });
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert!(!coming.is_finished(), "it waits");
            credentials::end_passkey(tx, alice, removed).await?;
            server.enrol(ALICE, "passkey").await;
            Ok(coming)
        });
        let page = coming.await.await.unwrap();
        assert!(page.url.path().ends_with("/step-up"), "{remembered}: {}:\n{}", page.url, page.body);
        let live = "SELECT count(*) FROM live_sessions(now()) WHERE kind = 'privileged'";
        assert_eq!(server.value(live).await, "0", "{remembered}");
        server.rows(&format!("DELETE FROM credentials WHERE kind = 'passkey' AND id <> '{removed}'")).await;
    }
}

/// A scope that a password and a code are enough for.
const SEE: &str = r#"
[[scope]]
name = "see"
privileged = true
acr = "urn:mooring:acr:mfa"

[[client]]
client_id = "viewer"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
grant_types = ["authorization_code", "refresh_token"]
scope = "openid see"
"#;

/// Bob has an app, and sees with a password and what `typed` chooses of a code of the app and a recovery code.
async fn seeing(server: &Server, typed: impl Fn(String, String) -> String) -> (Agent, authenticator::App, Tokens) {
    let agent = server.agent();
    agent.walk(&server.at("/account"), BOB).await;
    let (app, codes) = authenticator::add(server, &agent).await;
    let request = server.client("viewer").request("openid see");
    let agent = server.agent();
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, BOB, PASSWORD).await;
    let code = typed(app.code(server), codes[0].clone());
    let page = agent.submit(&page.form_to("/second-factor").fill("code", &code)).await;
    let code = Code { code: agent.decide(&page, "allow").await.code(), verifier: request.verifier };
    let tokens = server.client("viewer").redeem(&code).await.tokens();
    server.advance(TimeDelta::seconds(31)).await;
    (agent, app, tokens)
}

#[tokio::test]
async fn what_a_removed_app_proved_is_over() {
    for recovery in [false, true] {
        let server = Server::start(Settings::default().declare(SEE)).await;
        let (agent, _, tokens) = seeing(&server, |app, code| if recovery { code } else { app }).await;
        let account = agent.open(&server.at("/account")).await;
        let account = agent.submit(&account.form_to("/account/authenticator/remove")).await;
        assert!(account.body.contains("Your authenticator app is removed"), "{}", account.body);
        let client = server.client("viewer");
        assert!(!client.is_active(&tokens.access).await, "recovery code: {recovery}");
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(refreshed.all["scope"], "openid");
        let said = token::claims(&refreshed.id);
        assert_eq!((&said["acr"], &said["amr"]), (&json!("urn:mooring:acr:pwd"), &json!(["pwd"])), "{said}");
        let kept = "SELECT acr || ' ' || amr::text FROM sessions WHERE kind = 'user' AND proof_lost_at IS NOT NULL";
        assert_eq!(server.value(kept).await, "urn:mooring:acr:pwd {pwd}");
    }
}

/// A used recovery code is not a withdrawn one, until its set is.
#[tokio::test]
async fn new_recovery_codes_void_what_old_ones_proved() {
    for recovery in [false, true] {
        let server = Server::start(Settings::default().declare(SEE)).await;
        let (agent, _, tokens) = seeing(&server, |app, code| if recovery { code } else { app }).await;
        let client = server.client("viewer");
        assert!(client.is_active(&tokens.access).await);
        let account = agent.open(&server.at("/account")).await;
        let page = agent.submit(&account.form_to("/account/authenticator/codes")).await;
        assert_eq!(page.heading(), "Your recovery codes", "{}", page.body);
        assert_eq!(client.is_active(&tokens.access).await, !recovery, "recovery code: {recovery}");
    }
}

#[tokio::test]
async fn what_a_changed_password_proved_is_over() {
    let server = Server::start(Settings::default().declare(SEE)).await;
    let (agent, _, tokens) = seeing(&server, |app, _| app).await;
    let page = agent.open(&server.at("/account/password")).await;
    let new = "another horse, another battery";
    let form = page.form_to("/account/password").fill("password", new).fill("password_again", new);
    let account = agent.submit(&form).await;
    assert!(account.body.contains("Your password is changed"), "{}", account.body);
    assert!(!server.client("viewer").is_active(&tokens.access).await);
}
