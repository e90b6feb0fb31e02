//! What tokens say of a proof whose credential has died since: no more than a password, in whatever is issued or asked from then on.

use serde_json::Value;

use super::withdrawn::Story;
use crate::support::{
    ALICE, PASSWORD, Server,
    agent::Agent,
    client::{Client, Code, Tokens},
    passkey::Passkey,
    process::Installation,
    token,
};

const PWD: &str = "urn:mooring:acr:pwd";

/// Alice signs in with her passkey, for this client.
async fn by_passkey(client: &Client<'_>, agent: &Agent, passkey: &mut Passkey, scope: &str) -> Tokens {
    let request = client.request(scope);
    let page = agent.open(&request.url()).await;
    let consent = agent.use_passkey(&page, passkey).await;
    let code = Code { code: agent.decide(&consent, "allow").await.code(), verifier: request.verifier };
    let tokens = client.redeem(&code).await.tokens();
    assert_eq!(said(client, &tokens).await, [phr(), phr()]);
    tokens
}

fn facts(of: &Value) -> (String, String) {
    let amr = of["amr"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
    (of["acr"].as_str().unwrap_or_default().to_owned(), amr.join(" "))
}

/// `acr` and `amr`, as the ID token and the introspection of the access token say them; a JWT says the same.
async fn said(client: &Client<'_>, tokens: &Tokens) -> [(String, String); 2] {
    let introspected = client.introspect(&tokens.access).await.ok();
    if client.id == "jwt" {
        assert_eq!(facts(&token::claims(&tokens.access)), facts(&introspected));
    }
    [facts(&token::claims(&tokens.id)), facts(&introspected)]
}

fn phr() -> (String, String) {
    ("phr".to_owned(), "pop user mfa".to_owned())
}

fn nothing_more_than_a_password() -> [(String, String); 2] {
    [(PWD.to_owned(), String::new()), (PWD.to_owned(), String::new())]
}

fn forget_passkeys(server: &Server) {
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "forget-passkeys", ALICE, "--all"]).done();
}

#[tokio::test]
async fn no_token_says_what_a_dead_passkey_proved() {
    let server = Server::usual().await;
    for id in ["web", "jwt"] {
        let (_, mut passkey) = server.with_passkey(ALICE).await;
        let (client, agent) = (server.client(id), server.agent());
        let tokens = by_passkey(&client, &agent, &mut passkey, "openid").await;
        let offline = client.tokens(&agent, "openid offline_access").await;
        let in_flight = client.code(&agent, "openid").await;
        let offline_in_flight = client.code(&agent, "openid offline_access").await;
        let auth_time = token::claims(&tokens.id)["auth_time"].clone();
        forget_passkeys(&server);

        let introspected = client.introspect(&tokens.access).await.ok();
        assert_eq!(facts(&introspected), (PWD.to_owned(), String::new()), "issued before ({id})");
        assert_eq!(introspected["auth_time"], auth_time);
        assert_eq!(facts(&client.introspect(&offline.refresh).await.ok()).0, PWD, "a refresh token ({id})");
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        let refreshed_offline = client.refresh(&offline.refresh).await.tokens();
        let late = client.redeem(&in_flight).await.tokens();
        let late_offline = client.redeem(&offline_in_flight).await.tokens();
        let again = client.refresh(&late_offline.refresh).await.tokens();
        for tokens in [&refreshed, &refreshed_offline, &late, &late_offline, &again] {
            assert_eq!(said(&client, tokens).await, nothing_more_than_a_password(), "{id}");
            assert_eq!(token::claims(&tokens.id)["auth_time"], auth_time, "{id}");
        }

        // No age is young enough for what is lost.
        let silent = client.request("openid").with("prompt", "none");
        agent.open(&silent.url()).await.code();
        let aged = client.request("openid").with("max_age", "600");
        assert_eq!(agent.open(&aged.clone().with("prompt", "none").url()).await.error(), "login_required");
        let page = agent.open(&aged.url()).await;
        assert!(page.asks_for_password(), "{}:\n{}", page.url, page.body);

        // The password gives the session its own strength back, and earlier grants nothing.
        let request = agent.sign_in(&page, ALICE, PASSWORD).await;
        let code = Code { code: request.code(), verifier: aged.verifier };
        let by_password = client.redeem(&code).await.tokens();
        assert_eq!(facts(&token::claims(&by_password.id)), (PWD.to_owned(), "pwd".to_owned()));
        let refreshed = client.refresh(&refreshed.refresh).await.tokens();
        assert_eq!(said(&client, &refreshed).await, nothing_more_than_a_password(), "{id}");
    }
}

/// A password shown in between is the session's proof, and not that of what was issued before.
#[tokio::test]
async fn a_later_sign_in_does_not_keep_a_dead_proof() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    let tokens = by_passkey(&client, &agent, &mut passkey, "openid").await;
    let offline = client.tokens(&agent, "openid offline_access").await;
    let page = agent.open(&server.at("/login")).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    let weaker = client.tokens(&agent, "openid").await;
    assert_eq!(facts(&token::claims(&weaker.id)), (PWD.to_owned(), "pwd".to_owned()));
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(facts(&token::claims(&tokens.id)).0, "phr");
    forget_passkeys(&server);
    for tokens in [&tokens, &offline] {
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(said(&client, &refreshed).await, nothing_more_than_a_password());
    }
    // The session itself rests on the password.
    agent.open(&client.request("openid").with("prompt", "none").with("max_age", "600").url()).await.code();
}

#[tokio::test]
async fn what_another_passkey_proved_is_said_on() {
    let mut story = Story::begin().await;
    let agent = story.server.agent();
    let mut second = std::mem::replace(&mut story.second, Passkey::new());
    let client = story.server.client("web");
    let tokens = by_passkey(&client, &agent, &mut second, "openid").await;
    let offline = client.tokens(&agent, "openid offline_access").await;
    let account = agent.open(&story.server.at("/account")).await;
    let removed = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(removed.body.contains("That passkey is removed"), "{}", removed.body);
    for tokens in [&tokens, &offline] {
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(facts(&token::claims(&refreshed.id)), phr());
    }
    assert_eq!(facts(&client.introspect(&tokens.access).await.ok()).0, "phr");
}
