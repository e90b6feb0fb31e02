//! Stepping up with a passkey, from the request to the token: what the person does, and what somebody else may try.

mod in_a_browser;

use serde_json::json;

use crate::support::{ALICE, BOB, Server, client::Code, token};

const SCOPE: &str = "openid payments:write";

#[tokio::test]
async fn a_passkey_at_the_step_up_page() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    let before = client.tokens(&agent, "openid").await;
    let (cookie, sid) = (agent.cookie().value, token::claims(&before.id)["sid"].clone());
    let request = client.request(SCOPE);
    let page = agent.walk(&request.url(), ALICE).await;
    assert_eq!(page.heading(), "Confirm that it is you");
    assert!(page.body.contains("Move money") && page.body.contains("15 minutes"), "{}", page.body);
    let code = Code { code: agent.use_passkey(&page, &mut passkey).await.code(), verifier: request.verifier };
    assert_ne!(agent.cookie().value, cookie, "the cookie's secret is new, and the old one dead");
    let tokens = client.redeem(&code).await.tokens();
    let claims = token::claims(&tokens.id);
    assert_eq!((&claims["acr"], &claims["sid"]), (&json!("phr"), &sid));
    assert!(client.is_active(&before.access).await);
}

/// Who signs in with a passkey for this very request has proved themselves for it.
#[tokio::test]
async fn a_sign_in_with_a_passkey_is_proof_enough() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    let request = client.request(SCOPE);
    let page = agent.open(&request.url()).await;
    let consent = agent.use_passkey(&page, &mut passkey).await;
    let code = Code { code: agent.decide(&consent, "allow").await.code(), verifier: request.verifier };
    assert_eq!(client.redeem(&code).await.tokens().all["scope"], "openid payments:write");
    // For this one: for another client it is none.
    let other = server.client("web2");
    let page = agent.walk(&other.request(SCOPE).url(), ALICE).await;
    assert_eq!(page.heading(), "Confirm that it is you");
}

#[tokio::test]
async fn another_persons_passkey_is_refused() {
    let server = Server::usual().await;
    let (_, mut alices) = server.with_passkey(ALICE).await;
    let (_, mut bobs) = server.with_passkey(BOB).await;
    let (client, agent) = (server.client("web"), server.agent());
    let page = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    let asked = agent.ask(&page, "use-passkey", &[]).await.unwrap();
    assert_eq!(asked.options["allowCredentials"].as_array().unwrap().len(), 1, "those of that person only");
    let signed = bobs.sign_anyway(asked.page(), &asked.options);
    assert_eq!(agent.answer(&asked, &signed).await.status, 403);
    // Editing the address lowers nothing: whoever calls is still this person, for this request.
    let asked = agent.ask(&page, "use-passkey", &[("as", "another")]).await.unwrap();
    let signed = bobs.sign_anyway(asked.page(), &asked.options);
    let answer = agent.answer(&asked, &signed).await;
    if answer.status == 200 {
        // Bob, in a session of his own: nothing of Alice's.
        let page = agent.go_on(&answer).await;
        assert!(page.offers("allow"), "{}", page.body);
        assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "0");
        return;
    }
    let page = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    agent.use_passkey(&page, &mut alices).await.code();
}

/// A proof that was asked for one request is not taken for another, whatever the address says.
#[tokio::test]
async fn a_ceremony_of_an_ordinary_request_opens_nothing_privileged() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    client.tokens(&agent, SCOPE.split(' ').next().unwrap()).await;
    let trap = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    let ordinary = agent.walk(&client.request("openid").with("acr_values", "phr").url(), ALICE).await;
    let asked = agent.ask(&ordinary, "use-passkey", &[]).await.unwrap();
    let signed = passkey.sign(asked.page(), &asked.options);
    // The same answer for the other request.
    let id = crate::support::proof::request_of(&trap).to_string();
    let mixed = asked.clone().with("request", &json!(id));
    assert_ne!(agent.answer(&mixed, &signed).await.status, 200);
    let asked = agent.ask(&ordinary, "use-passkey", &[]).await.unwrap();
    let signed = passkey.sign(asked.page(), &asked.options);
    agent.go_on(&agent.answer(&asked, &signed).await).await.code();
    let resumed = agent.walk(&server.at(&format!("/oauth/authorize/{id}")), ALICE).await;
    assert_eq!(resumed.heading(), "Confirm that it is you");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "0");
}

#[tokio::test]
async fn the_page_is_for_the_person_and_the_browser_that_it_was_shown_to() {
    let server = Server::usual().await;
    server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    let page = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    server.agent().open(page.url.as_str()).await.is_error_page(400);
    let forged = page.decision("deny").forge("csrf", Some("AAAA"));
    agent.submit(&forged).await.is_error_page(400);
    let forged = page.decision("deny").forge("csrf", None);
    agent.submit(&forged).await.is_error_page(400);
}
