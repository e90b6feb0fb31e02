//! What plain HTTP cannot show: that a real browser under our own policy gets through, by keyboard and without scripts.

use std::time::Duration;

use fantoccini::{Locator, key::Key};
use url::Url;

use crate::support::{
    ALICE, PASSWORD, Server,
    browser::{Browser, PATIENCE},
    relying_party::RelyingParty,
    token,
};

impl Browser {
    async fn heading(&self) -> String {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css("h1")).await.expect("a heading");
        found.text().await.expect("its text")
    }

    /// Types where the keyboard is.
    async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys");
    }
}

#[tokio::test]
async fn by_keyboard_alone() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    let request = party.client.request("openid email");
    browser.client.goto(&request.url()).await.unwrap();
    assert_eq!(browser.heading().await, "Sign in");
    // The first field has the focus already.
    browser.keys(ALICE).await;
    browser.keys(&Key::Tab.to_string()).await;
    browser.keys("a wrong password").await;
    browser.keys(&Key::Enter.to_string()).await;
    let alert = browser.wait_for("[role=alert]").await;
    assert!(alert.text().await.unwrap().contains("not right"));
    // Now the password has it.
    browser.keys(PASSWORD).await;
    browser.keys(&Key::Enter.to_string()).await;

    let allow = browser.wait_for("button[name=decision][value=allow]").await;
    assert!(browser.heading().await.contains("Harbour Web"));
    allow.send_keys(&Key::Enter.to_string()).await.unwrap();
    browser.arrives_at("Arrived").await;
    let code = party.code(request).await;
    let tokens = party.client.redeem(&code).await.tokens();
    assert_eq!(token::claims(&tokens.id)["sub"], server.user_id(ALICE).await);

    // Again, and there is nothing to ask.
    let again = party.client.request("openid");
    browser.client.goto(&again.url()).await.unwrap();
    browser.arrives_at("Arrived").await;
    assert_eq!(
        token::claims(&party.client.redeem(&party.code(again).await).await.tokens().id)["sid"],
        token::claims(&tokens.id)["sid"]
    );
}

#[tokio::test]
async fn without_scripts() {
    let Some(browser) = Browser::start_with(&["--blink-settings=scriptEnabled=false"]).await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "spa").await;
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    party.client.redeem(&party.code(request).await).await.tokens();

    // What needs a script is not shown, and that it does is said.
    browser.client.goto(&server.at("/account")).await.unwrap();
    browser.arrives_at("Alice Example").await;
    let shown = browser.wait_for("main").await.text().await.unwrap();
    assert!(shown.contains("Adding a passkey needs JavaScript") && !shown.contains("Name of a new passkey"), "{shown}");

    // A form post waits for the button, then.
    let request = party.client.request("openid").with("response_mode", "form_post");
    browser.client.goto(&request.url()).await.unwrap();
    browser.wait_for("#form-post button").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    assert_eq!(party.origin().await, Some(server.issuer.clone()));
    party.client.redeem(&party.code(request).await).await.tokens();
}

#[tokio::test]
async fn a_form_post_submits_itself() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    let request = party.client.request("openid").with("response_mode", "form_post");
    browser.client.goto(&request.url()).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    let address = browser.client.current_url().await.unwrap();
    assert!(address.query().is_none(), "the code is not in the address: {address}");
    // What frameworks look at before they take a form from another site.
    assert_eq!(party.origin().await, Some(server.issuer.clone()));
    party.client.redeem(&party.code(request).await).await.tokens();
}

/// Impatient: the button is clicked twice.
#[tokio::test]
async fn a_double_click_is_one_sign_in() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    party.client.code(&server.agent(), "openid").await; // consented before
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.wait_for("input[name=username]").await.send_keys(ALICE).await.unwrap();
    browser.wait_for("input[name=password]").await.send_keys(PASSWORD).await.unwrap();
    let twice = "const b = document.querySelector('form button[type=submit]'); b.click(); b.click();";
    browser.client.execute(twice, vec![]).await.unwrap();
    browser.arrives_at("Arrived").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(party.callbacks().await, 1);
    party.client.redeem(&party.code(request).await).await.tokens();
    browser.client.goto(&server.at("/account")).await.unwrap();
    assert_eq!(browser.heading().await, "Alice Example");
}

/// Back to the form after arriving, and sent again.
#[tokio::test]
async fn the_back_button() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    party.client.redeem(&party.code(request).await).await.tokens();
    browser.client.back().await.unwrap();
    let heading = browser.heading().await;
    assert!(!heading.contains("not") && !heading.contains("error"), "no error page: {heading}");
    browser.client.goto(&server.at("/account")).await.unwrap();
    assert_eq!(browser.heading().await, "Alice Example");
}

#[tokio::test]
async fn the_account_page_ends_sessions() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let elsewhere = server.agent();
    let tokens = server.client("web").tokens(&elsewhere, "openid").await;
    browser.client.goto(&server.at("/account")).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    let end = browser.wait_for("button[name=session]").await;
    assert_eq!(browser.heading().await, "Alice Example");
    end.click().await.unwrap();
    let notice = browser.wait_for("[role=status]").await;
    assert!(notice.text().await.unwrap().contains("ended"));
    assert!(!server.client("web").is_active(&tokens.access).await);

    browser.wait_for("form[action$='/sign-out'] button").await.click().await.unwrap();
    let welcome = Url::parse(&server.at("/?done=sign-out")).unwrap();
    browser.client.wait().at_most(PATIENCE).for_url(&welcome).await.unwrap();
    assert_eq!(browser.wait_for("[role=status]").await.text().await.unwrap(), "You are signed out.");
    browser.client.goto(&server.at("/account")).await.unwrap();
    assert_eq!(browser.heading().await, "Sign in");
}

/// A relying party signs the person out, and gets them back.
#[tokio::test]
async fn signing_out_at_a_relying_partys_request() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    let tokens = party.client.redeem(&party.code(request).await).await.tokens();
    browser.client.goto(&server.endpoint("end_session_endpoint")).await.unwrap();
    browser.wait_for("button[name=decision][value=sign-out]").await.click().await.unwrap();
    browser
        .client
        .wait()
        .at_most(PATIENCE)
        .for_element(Locator::XPath("//h1[contains(text(), 'signed out')]"))
        .await
        .unwrap();
    assert!(!party.client.is_active(&tokens.access).await);
}

/// A request that arrives by POST from the relying party's own page: the browser withholds the Lax cookie from it.
#[tokio::test]
async fn a_request_by_post_from_elsewhere_finds_the_session() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start(&server, "web").await;
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;

    // On the relying party's page, which is of another site (127.0.0.1, not localhost).
    let request = party.client.request("openid");
    let fields = serde_json::to_value(&request.parameters).unwrap();
    let script = "const [url, fields] = arguments; const form = document.createElement('form'); form.method = 'post'; \
                  form.action = url; for (const [name, value] of fields) { const input = document.createElement('input'); \
                  input.name = name; input.value = value; form.append(input); } document.body.append(form); form.submit();";
    let before = party.callbacks().await;
    browser.client.execute(script, vec![request.endpoint().into(), fields]).await.unwrap();
    for _ in 0..200 {
        if party.callbacks().await > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let code = party.code(request).await;
    party.client.redeem(&code).await.tokens();
}

/// What was typed can be seen; it is sent as a password all the same, and the page says what password managers look for.
#[tokio::test]
async fn a_password_can_be_shown() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.wait_for("input[name=username]").await.send_keys(ALICE).await.unwrap();
    browser.wait_for("input[name=password]").await.send_keys(PASSWORD).await.unwrap();
    browser.wait_for("button.reveal").await.click().await.unwrap();
    let shown = "const i = document.getElementById('password'); return [i.type, i.value, document.activeElement === i]";
    let expected = serde_json::json!(["text", PASSWORD, true]);
    assert_eq!(browser.client.execute(shown, vec![]).await.unwrap(), expected);
    browser.wait_for("button[type=submit]").await.click().await.unwrap();
    browser.arrives_at("Alice Example").await;
    browser.client.goto(&server.at("/account/password")).await.unwrap();
    let buttons = "return document.querySelectorAll('button.reveal').length";
    browser.wait_for("button.reveal").await;
    assert_eq!(browser.client.execute(buttons, vec![]).await.unwrap(), 2);
}
