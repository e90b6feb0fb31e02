//! Two administrators in two browsers, each with a passkey of their own.

use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{CAROL, DAVE, SCOPE, settings, trail};
use crate::support::{Server, browser::Browser, client::Code, declared::PASSWORD};

/// Signs in with the password and adds a passkey.
async fn enrol(browser: &Browser, server: &Server, username: &str) {
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.wait_for("input[name=username]").await.send_keys(username).await.unwrap();
    browser.wait_for("input[name=password]").await.send_keys(PASSWORD).await.unwrap();
    browser.wait_for("form button[type=submit]").await.click().await.unwrap();
    browser.arrives_at(&format!("{username} of the Harbour")).await;
    browser.wait_for("#passkey-label").await.send_keys("My key").await.unwrap();
    browser.wait_for("#add-passkey").await.click().await.unwrap();
    browser.wait_for(".notice").await;
}

#[tokio::test]
async fn two_administrators_in_two_browsers() {
    let Some((one, other)) = Browser::start_two().await else { return };
    let server = Server::start(settings()).await;
    let _keys = (one.add_authenticator(true).await, other.add_authenticator(true).await);
    enrol(&one, &server, CAROL).await;
    enrol(&other, &server, DAVE).await;
    let party = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_raw("<title>Arrived</title><h1>Arrived</h1>", "text/html");
    Mock::given(any()).respond_with(page).mount(&party).await;
    let mut client = server.client("vault");
    client.redirect_uri = format!("http://127.0.0.1:{}/callback", party.address().port());

    let request = client.request(SCOPE);
    one.client.goto(&request.url()).await.unwrap();
    one.wait_for("button[value=allow]").await.click().await.unwrap();
    one.wait_for("#use-passkey").await.click().await.unwrap();
    one.arrives_at("Ask for approval").await;
    one.wait_for("#reason").await.send_keys("The gold is due").await.unwrap();
    let minutes = one.wait_for("#minutes").await;
    minutes.clear().await.unwrap();
    minutes.send_keys("4").await.unwrap();
    one.wait_for("button[value=ask]").await.click().await.unwrap();
    one.arrives_at("Waiting for approval").await;

    other.client.goto(&server.at("/hub")).await.unwrap();
    other.wait_for("#use-passkey").await.click().await.unwrap();
    other.arrives_at("Elevations").await;
    other.wait_for("input[name=note]").await.send_keys("Mind the step").await.unwrap();
    other.wait_for("button[value=approve]").await.click().await.unwrap();
    other.wait_for(".notice").await;

    // Whoever waits does nothing: the page goes on by itself.
    one.arrives_at("Arrived").await;
    let requests = party.received_requests().await.unwrap();
    let callback = requests.iter().find(|request| request.url.path() == "/callback").unwrap();
    let code = callback.url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(tokens.all["scope"], SCOPE);
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
}
