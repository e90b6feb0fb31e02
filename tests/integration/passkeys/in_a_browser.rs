//! The same in a real Chromium with a virtual authenticator: our script, under our own policy.

use crate::support::{ALICE, BOB, Server, browser::Browser};

#[tokio::test]
async fn enrol_then_sign_in_by_button_and_by_autofill() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, ALICE).await;
    assert!(browser.client.source().await.unwrap().contains("My laptop"));
    assert_eq!(authenticator.credentials().await.len(), 1);
    assert_eq!(authenticator.credentials().await[0]["isResidentCredential"], true);
    browser.sign_out().await;

    // The suggestion behind the username field, which the virtual authenticator takes at once.
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    assert_eq!(server.value("SELECT acr FROM sessions ORDER BY id DESC LIMIT 1").await, "phr");
    browser.sign_out().await;

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
    browser.use_passkey().await;
    browser.arrives_at("Alice Example").await;
    assert_eq!(server.events("session.reauthenticated", "done").await, 1);
}

#[tokio::test]
async fn what_a_tampered_page_asks_for_does_not_count() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, ALICE).await;
    let alices = authenticator.credentials().await;
    authenticator.forget().await;
    browser.sign_out().await;
    browser.enrol(&server, BOB).await;

    // Bob is to prove again who he is; what is there is Alice's passkey, and no list of Bob's.
    authenticator.hold(&alices[0]).await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    browser.tamper("asked.publicKey.allowCredentials = []").await;
    browser.use_passkey().await;
    browser.says_of_passkey("could not be used here").await;
    let refused = "SELECT reason FROM audit_events WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1";
    assert_eq!(server.value(refused).await, "another_persons_passkey");

    // Without user verification; Alice signs in by the suggestion.
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    authenticator.verifies(false).await;
    browser.tamper("asked.publicKey.userVerification = 'discouraged'").await;
    browser.use_passkey().await;
    browser.says_of_passkey("could not be used here").await;
    assert_eq!(server.value(refused).await, "user_not_verified");
    // An honest page asks for it, and the authenticator refuses.
    browser.client.refresh().await.unwrap();
    browser.use_passkey().await;
    browser.says_of_passkey("No passkey was used").await;
}

/// Too many visits began at the address: a browser without cookies signs in by the page that says so.
#[tokio::test]
async fn a_crowded_address_asks_for_a_passkey() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let _authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, ALICE).await;
    browser.client.delete_all_cookies().await.unwrap();
    let full = server.clock.now() + chrono::TimeDelta::hours(1);
    server.rows(&format!("UPDATE throttles SET empty_at = '{full}'")).await;
    let visits = async || server.value("SELECT count(*) FROM sessions WHERE kind = 'visitor'").await;
    let before = visits().await;
    browser.client.goto(&server.client("web").request("openid").url()).await.unwrap();
    browser.arrives_at("Please wait, or use a passkey").await;
    browser.use_passkey().await;
    browser.wait_for("button[value=allow]").await;
    assert_eq!(visits().await, before);
    assert_eq!(server.value("SELECT acr FROM sessions ORDER BY id DESC LIMIT 1").await, "phr");
}

/// A copy of the passkey is used, then the passkey itself.
#[tokio::test]
async fn a_copied_passkey_is_found_out() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, ALICE).await;
    let copy = authenticator.credentials().await.remove(0);
    for _ in 0..2 {
        browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
        browser.arrives_at("Confirm it is you").await;
        browser.use_passkey().await;
        browser.arrives_at("Alice Example").await;
    }
    authenticator.hold(&copy).await;
    browser.client.goto(&server.at("/login?confirm=account")).await.unwrap();
    browser.arrives_at("Confirm it is you").await;
    browser.use_passkey().await;
    browser.says_of_passkey("could not be used here").await;
    assert_eq!(server.events("credential.suspended", "done").await, 1);
    browser.client.goto(&server.at("/account")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    assert!(browser.client.source().await.unwrap().contains("there may be a copy of it"));
}
