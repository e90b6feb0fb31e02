//! The same in a real Chromium with a virtual authenticator: our script, under our own policy.

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::support::{
    ALICE, BOB, PASSWORD, Server,
    browser::{Authenticator, Browser, PATIENCE},
};

/// What the page says of the passkey.
async fn said(browser: &Browser, words: &str) {
    let path = format!("//*[@id='passkey-status'][contains(., '{words}')]");
    if let Err(error) = browser.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await {
        panic!("{words}: {error}:\n{}", browser.client.source().await.unwrap_or_default());
    }
}

async fn sign_in(browser: &Browser, server: &Server, username: &str) {
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.wait_for("input[name=username]").await.send_keys(username).await.unwrap();
    browser.wait_for("input[name=password]").await.send_keys(PASSWORD).await.unwrap();
    browser.wait_for("form button[type=submit]").await.click().await.unwrap();
}

async fn sign_out(browser: &Browser) {
    browser.wait_for("form[action$='/sign-out'] button").await.click().await.unwrap();
    browser.arrives_at("Sign-in, safely moored").await;
}

/// Signs in with the password and adds a passkey on the account page.
async fn enrol(browser: &Browser, server: &Server, username: &str, name: &str) {
    sign_in(browser, server, username).await;
    browser.arrives_at(name).await;
    browser.wait_for("#passkey-label").await.send_keys("My laptop").await.unwrap();
    browser.wait_for("#add-passkey").await.click().await.unwrap();
    browser.wait_for(".notice").await;
    assert!(browser.wait_for(".notice").await.text().await.unwrap().contains("ready"));
}

/// Changes every question to the authenticator: what a page that was tampered with asks.
async fn tamper(browser: &Browser, change: &str) {
    let script = format!(
        "const get = navigator.credentials.get.bind(navigator.credentials); \
         navigator.credentials.get = (asked) => {{ {change}; return get(asked); }};"
    );
    browser.client.execute(&script, vec![]).await.unwrap();
}

#[tokio::test]
async fn enrol_then_sign_in_by_button_and_by_autofill() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    enrol(&browser, &server, ALICE, "Alice Example").await;
    assert!(browser.client.source().await.unwrap().contains("My laptop"));
    assert_eq!(authenticator.credentials().await.len(), 1);
    assert_eq!(authenticator.credentials().await[0]["isResidentCredential"], true);
    sign_out(&browser).await;

    // The suggestion behind the username field, which the virtual authenticator takes at once.
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    assert_eq!(server.value("SELECT acr FROM sessions ORDER BY id DESC LIMIT 1").await, "phr");
    sign_out(&browser).await;

    // There is nothing to suggest when the page opens: the button finds what comes later.
    let passkey = authenticator.credentials().await.remove(0);
    authenticator.forget().await;
    browser.client.goto(&server.at("/login")).await.unwrap();
    let button = browser.wait_for("#use-passkey").await;
    authenticator.add(&passkey).await;
    // Unless the suggestion, which still waits, was faster and the page is gone.
    if let Err(error) = button.click().await {
        assert!(error.is_stale_element_reference(), "{error}");
    }
    browser.arrives_at("Alice Example").await;
    assert_eq!(server.events("session.started", "done").await, 6, "three visits, three sign-ins");

    // And again, as who is signed in.
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    browser.wait_for("#use-passkey").await.click().await.unwrap();
    browser.arrives_at("Alice Example").await;
    assert_eq!(server.events("session.reauthenticated", "done").await, 1);
}

#[tokio::test]
async fn what_a_tampered_page_asks_for_does_not_count() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    enrol(&browser, &server, ALICE, "Alice Example").await;
    let alices = authenticator.credentials().await;
    authenticator.forget().await;
    sign_out(&browser).await;
    enrol(&browser, &server, BOB, "Bob Example").await;

    // Bob is to prove again who he is; what is there is Alice's passkey, and no list of Bob's.
    authenticator.forget().await;
    authenticator.add(&alices[0]).await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    tamper(&browser, "asked.publicKey.allowCredentials = []").await;
    browser.wait_for("#use-passkey").await.click().await.unwrap();
    said(&browser, "could not be used here").await;
    let refused = "SELECT reason FROM audit_events WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1";
    assert_eq!(server.value(refused).await, "another_persons_passkey");

    // Without user verification; Alice signs in by the suggestion.
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    authenticator.verifies(false).await;
    tamper(&browser, "asked.publicKey.userVerification = 'discouraged'").await;
    browser.wait_for("#use-passkey").await.click().await.unwrap();
    said(&browser, "could not be used here").await;
    assert_eq!(server.value(refused).await, "user_not_verified");
    // An honest page asks for it, and the authenticator refuses.
    browser.client.refresh().await.unwrap();
    browser.wait_for("#use-passkey").await.click().await.unwrap();
    said(&browser, "No passkey was used").await;
}

/// A copy of the passkey is used, then the passkey itself.
#[tokio::test]
async fn a_copied_passkey_is_found_out() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    enrol(&browser, &server, ALICE, "Alice Example").await;
    let copy = authenticator.credentials().await.remove(0);
    for _ in 0..2 {
        browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
        browser.arrives_at("Confirm it is you").await;
        browser.wait_for("#use-passkey").await.click().await.unwrap();
        browser.arrives_at("Alice Example").await;
    }
    authenticator.forget().await;
    authenticator.add(&copy).await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    browser.wait_for("#use-passkey").await.click().await.unwrap();
    said(&browser, "could not be used here").await;
    assert_eq!(server.events("credential.suspended", "done").await, 1);
    browser.client.goto(&server.at("/account")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    assert!(browser.client.source().await.unwrap().contains("there may be a copy of it"));
}

impl Authenticator<'_> {
    /// Every passkey is gone.
    async fn forget(&self) {
        for credential in self.credentials().await {
            self.remove(credential["credentialId"].as_str().unwrap()).await;
        }
    }

    async fn add(&self, credential: &Value) {
        let mut credential = credential.clone();
        // Its handle, which is what a discoverable one needs.
        credential["isResidentCredential"] = json!(true);
        self.call(reqwest::Method::POST, "credential", Some(credential)).await;
    }
}
