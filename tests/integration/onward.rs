//! In a browser: the answer goes to an application whose callback goes on to another origin, as that of a broker does, or of
//! an API's host before the application's. Chromium holds a page's `form-action` against every redirect after its form.

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings, authenticator,
    browser::Browser,
    declared::{REDIRECT_URI, SECRET},
    relying_party::{RelyingParty, going_on_to, page},
};

impl Browser {
    async fn press(&self, css: &str) {
        self.wait_for(css).await.click().await.expect("clicked");
    }

    /// It has come to where the callback leads.
    async fn has_gone_on(&self) {
        self.arrives_at("Arrived").await;
        let at = self.client.current_url().await.expect("an address");
        assert_eq!(at.path(), "/home", "{at}");
    }

    async fn open(&self, party: &RelyingParty<'_>, scope: &str, more: &[(&str, &str)]) {
        let request = more.iter().fold(party.client.request(scope), |request, (name, value)| request.with(name, value));
        self.client.goto(&request.url()).await.expect("a page");
    }
}

#[tokio::test]
async fn sign_in_consent_and_account_choice_go_on() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start_going_on(&server, "web").await;
    // Left at the sign-in page.
    browser.open(&party, "openid", &[]).await;
    browser.press("button[name=cancel]").await;
    browser.has_gone_on().await;
    assert_eq!(party.error().await, "access_denied");
    // Denied, then allowed.
    browser.open(&party, "openid", &[]).await;
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.press("button[value=deny]").await;
    browser.has_gone_on().await;
    let request = party.client.request("openid");
    browser.client.goto(&request.url()).await.unwrap();
    browser.press("button[value=allow]").await;
    browser.has_gone_on().await;
    party.client.redeem(&party.code(request).await).await.tokens();
    // Consent is remembered: the sign-in page leads there by itself, and so does the choice of an account.
    browser.open(&party, "openid", &[("prompt", "login")]).await;
    browser.sign_in_with_password(PASSWORD).await;
    browser.has_gone_on().await;
    browser.open(&party, "openid", &[("prompt", "select_account")]).await;
    browser.press("button[value=continue]").await;
    browser.has_gone_on().await;
    assert_eq!(party.callbacks().await, 5);
}

impl Browser {
    /// Where the username stands there already.
    async fn sign_in_with_password(&self, password: &str) {
        self.wait_for("input[name=password]").await.send_keys(password).await.expect("typed");
        self.press("form button[type=submit]").await;
    }
}

#[tokio::test]
async fn a_form_post_goes_on() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start_going_on(&server, "web").await;
    browser.open(&party, "openid", &[("response_mode", "form_post")]).await;
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.press("button[value=allow]").await;
    browser.has_gone_on().await;
    browser.open(&party, "openid", &[("response_mode", "form_post")]).await;
    browser.has_gone_on().await;
    assert_eq!(party.callbacks().await, 2);
}

#[tokio::test]
async fn the_second_factor_goes_on() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let party = RelyingParty::start_going_on(&server, "web").await;
    let agent = server.agent();
    agent.walk(&server.at("/account"), ALICE).await;
    let (app, _) = authenticator::add(&server, &agent).await;
    party.client.code(&agent, "openid").await; // consented before
    browser.open(&party, "openid", &[]).await;
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.wait_for("input[name=code]").await.send_keys(&app.code(&server)).await.unwrap();
    browser.press("main form button.primary").await;
    browser.has_gone_on().await;
}

/// Step-up, what is not for somebody, and what takes another person: each is left, and the application hears of it.
#[tokio::test]
async fn leaving_privileged_work_goes_on() {
    let Some(browser) = Browser::start().await else { return };
    let declared = format!(
        "[[scope]]\nname = \"mast:climb\"\nprivileged = true\ngroups = [\"crew\"]\n\
         [[scope]]\nname = \"vault:open\"\nprivileged = true\napproval = \"four_eyes\"\n\
         [[client]]\nclient_id = \"mast\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         scope = \"openid mast:climb vault:open payments:write\"\n"
    );
    let server = Server::start(Settings::default().declare(&declared)).await;
    let _key = browser.add_authenticator(true).await;
    browser.enrol(&server, BOB).await;
    let party = RelyingParty::start_going_on(&server, "mast").await;
    browser.open(&party, "openid payments:write", &[]).await;
    browser.press("button[value=allow]").await;
    browser.arrives_at("Confirm that it is you").await;
    browser.press("button[value=deny]").await;
    browser.has_gone_on().await;
    browser.open(&party, "openid mast:climb", &[]).await;
    browser.arrives_at("You cannot do this now").await;
    browser.press("button[value=leave]").await;
    browser.has_gone_on().await;
    browser.open(&party, "openid vault:open", &[]).await;
    browser.press("button[value=allow]").await;
    browser.use_passkey().await;
    browser.arrives_at("Ask for approval").await;
    browser.press("button[value=leave]").await;
    browser.has_gone_on().await;
    assert_eq!((party.callbacks().await, party.error().await.as_str()), (3, "access_denied"));
}

#[tokio::test]
async fn signing_out_goes_on() {
    let Some(browser) = Browser::start().await else { return };
    let home = page().await;
    let listener = going_on_to(&home).await;
    let bye = format!("{}/bye", listener.uri());
    let server = Server::start(Settings::default().declare(&format!(
        "[[client]]\nclient_id = \"leaver\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         post_logout_redirect_uris = [\"{bye}\"]\n"
    )))
    .await;
    browser.client.goto(&server.at("/login")).await.unwrap();
    browser.sign_in_as(ALICE, PASSWORD).await;
    browser.arrives_at("Alice Example").await;
    let mut leave = url::Url::parse(&server.endpoint("end_session_endpoint")).unwrap();
    leave.query_pairs_mut().append_pair("client_id", "leaver").append_pair("post_logout_redirect_uri", &bye);
    browser.client.goto(leave.as_str()).await.unwrap();
    browser.press("button[value=sign-out]").await;
    browser.has_gone_on().await;
}
