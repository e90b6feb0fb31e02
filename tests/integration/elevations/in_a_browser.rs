//! Two administrators in two browsers, each with a passkey of their own.

use std::time::Duration;

use fantoccini::key::Key;

use super::{CAROL, DAVE, SCOPE, settings, trail};
use crate::support::{Server, browser::Browser, relying_party::RelyingParty};

#[tokio::test]
async fn two_administrators_in_two_browsers() {
    let Some((one, other)) = Browser::start_two().await else { return };
    let server = Server::start(settings()).await;
    let _keys = (one.add_authenticator(true).await, other.add_authenticator(true).await);
    one.enrol(&server, CAROL).await;
    other.enrol(&server, DAVE).await;
    let party = RelyingParty::start(&server, "vault").await;
    let request = party.client.request(SCOPE);
    one.client.goto(&request.url()).await.unwrap();
    one.wait_for("button[value=allow]").await.click().await.unwrap();
    one.use_passkey().await;
    one.arrives_at("Ask for approval").await;
    one.wait_for("#reason").await.send_keys("The gold is due").await.unwrap();
    let minutes = one.wait_for("#minutes").await;
    minutes.clear().await.unwrap();
    minutes.send_keys("4").await.unwrap();
    one.wait_for("button[value=ask]").await.click().await.unwrap();
    one.arrives_at("Waiting for approval").await;
    // Until then the page is left alone: the keyboard stays where it was put.
    let focus = "document.querySelector('[value=withdraw]').focus(); window.same = true";
    one.client.execute(focus, vec![]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    let kept = "return window.same && document.activeElement.value";
    assert_eq!(one.client.execute(kept, vec![]).await.unwrap(), "withdraw");

    other.client.goto(&server.at("/hub")).await.unwrap();
    other.use_passkey().await;
    other.arrives_at("Elevations").await;
    // The key that ends a line decides nothing: a refusal may be what was being typed.
    let note = format!("Mind the step{}", Key::Enter);
    other.wait_for("input[name=note]").await.send_keys(&note).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(trail(&server).await, ["elevation.requested"]);
    other.wait_for("button[value=approve]").await.click().await.unwrap();
    other.wait_for(".notice").await;

    // Whoever waits does nothing: the page goes on by itself.
    one.arrives_at("Arrived").await;
    let tokens = party.client.redeem(&party.code(request).await).await.tokens();
    assert_eq!(tokens.all["scope"], SCOPE);
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
}
