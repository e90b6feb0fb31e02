//! Two administrators in two browsers, each with a passkey of their own.

use std::time::Duration;

use fantoccini::{Locator, elements::Element};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{CAROL, DAVE, SCOPE, settings, trail};
use crate::support::{Server, browser::Browser, client::Code, declared::PASSWORD};

const PATIENCE: Duration = Duration::from_secs(20);

async fn wait_for(browser: &Browser, css: &str) -> Element {
    match browser.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await {
        Ok(found) => found,
        Err(error) => panic!("{css}: {error}:\n{}", browser.client.source().await.unwrap_or_default()),
    }
}

async fn heading(browser: &Browser, text: &str) {
    let path = format!("//h1[normalize-space(.)='{text}']");
    if let Err(error) = browser.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await {
        panic!("{text}: {error}:\n{}", browser.client.source().await.unwrap_or_default());
    }
}

/// Signs in with the password and adds a passkey.
async fn enrol(browser: &Browser, server: &Server, username: &str) {
    browser.client.goto(&server.at("/login")).await.unwrap();
    wait_for(browser, "input[name=username]").await.send_keys(username).await.unwrap();
    wait_for(browser, "input[name=password]").await.send_keys(PASSWORD).await.unwrap();
    wait_for(browser, "form button[type=submit]").await.click().await.unwrap();
    heading(browser, &format!("{username} of the Harbour")).await;
    wait_for(browser, "#passkey-label").await.send_keys("My key").await.unwrap();
    wait_for(browser, "#add-passkey").await.click().await.unwrap();
    wait_for(browser, ".notice").await;
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
    wait_for(&one, "button[value=allow]").await.click().await.unwrap();
    wait_for(&one, "#use-passkey").await.click().await.unwrap();
    heading(&one, "Ask for approval").await;
    wait_for(&one, "#reason").await.send_keys("The gold is due").await.unwrap();
    let minutes = wait_for(&one, "#minutes").await;
    minutes.clear().await.unwrap();
    minutes.send_keys("4").await.unwrap();
    wait_for(&one, "button[value=ask]").await.click().await.unwrap();
    heading(&one, "Waiting for approval").await;

    other.client.goto(&server.at("/hub")).await.unwrap();
    wait_for(&other, "#use-passkey").await.click().await.unwrap();
    heading(&other, "Elevations").await;
    wait_for(&other, "input[name=note]").await.send_keys("Mind the step").await.unwrap();
    wait_for(&other, "button[value=approve]").await.click().await.unwrap();
    wait_for(&other, ".notice").await;

    // Whoever waits does nothing: the page goes on by itself.
    heading(&one, "Arrived").await;
    let requests = party.received_requests().await.unwrap();
    let callback = requests.iter().find(|request| request.url.path() == "/callback").unwrap();
    let code = callback.url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(tokens.all["scope"], SCOPE);
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
}
