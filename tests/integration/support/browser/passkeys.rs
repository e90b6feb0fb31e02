//! A virtual authenticator in a [`Browser`], and what a person does with it on our pages.

use fantoccini::Locator;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{PASSWORD, Server},
    Browser, PATIENCE,
};

/// A virtual authenticator (WebAuthn Level 3 §11): built in, discoverable passkeys, and a person who consents.
pub struct Authenticator<'b> {
    browser: &'b Browser,
    id: String,
}

impl Browser {
    /// `verifies`: it verifies the person.
    pub async fn add_authenticator(&self, verifies: bool) -> Authenticator<'_> {
        let wanted = json!({
            "protocol": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserConsenting": true, "isUserVerified": verifies,
        });
        let id = self.web_authn(Method::POST, "", Some(wanted)).await;
        Authenticator { browser: self, id: id.as_str().expect("an id").to_owned() }
    }

    /// An extension command of the driver, below `webauthn/authenticator`.
    async fn web_authn(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let session = self.client.session_id().await.expect("a session").expect("its id");
        let url = format!("http://127.0.0.1:{}/session/{session}/webauthn/authenticator{path}", self.driver.port);
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let mut request = http.request(method, &url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the driver answers");
        let (status, mut said) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert!(status.is_success(), "{url}: {said}");
        said["value"].take()
    }

    /// Adds a passkey on the account page of whoever has just signed in.
    pub async fn add_passkey(&self, label: &str) {
        self.wait_for("#passkey-label").await.send_keys(label).await.expect("typed");
        self.wait_for("#add-passkey").await.click().await.expect("clicked");
        let notice = self.wait_for(".notice").await.text().await.expect("its text");
        assert!(notice.contains("ready"), "{notice}");
    }

    /// Signs in with the password and adds a passkey.
    pub async fn enrol(&self, server: &Server, username: &str) {
        self.client.goto(&server.at("/login")).await.expect("the sign-in page");
        self.sign_in_as(username, PASSWORD).await;
        self.add_passkey("My laptop").await;
    }

    pub async fn use_passkey(&self) {
        self.wait_for("#use-passkey").await.click().await.expect("clicked");
    }

    /// Waits until the page says so of the passkey.
    pub async fn says_of_passkey(&self, words: &str) {
        let path = format!("//*[@id='passkey-status'][contains(., '{words}')]");
        if let Err(error) = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await {
            panic!("{words}: {error}:\n{}", self.client.source().await.unwrap_or_default());
        }
    }

    /// Changes every question to the authenticator: what a page that was tampered with asks.
    pub async fn tamper(&self, change: &str) {
        let script = format!(
            "const get = navigator.credentials.get.bind(navigator.credentials); \
             navigator.credentials.get = (asked) => {{ {change}; return get(asked); }};"
        );
        self.run(&script, vec![]).await;
    }
}

impl Authenticator<'_> {
    /// A command about this authenticator.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.browser.web_authn(method, &format!("/{}/{path}", self.id), body).await
    }

    /// Its passkeys, their private keys included.
    pub async fn credentials(&self) -> Vec<Value> {
        match self.call(Method::GET, "credentials", None).await {
            Value::Array(all) => all,
            other => panic!("{other}"),
        }
    }

    /// Every passkey is gone.
    pub async fn forget(&self) {
        for credential in self.credentials().await {
            let id = credential["credentialId"].as_str().expect("an id");
            self.call(Method::DELETE, &format!("credentials/{id}"), None).await;
        }
    }

    /// Puts a passkey in, as it was when it was taken out.
    pub async fn add(&self, credential: &Value) {
        let mut credential = credential.clone();
        // Its handle, which is what a discoverable one needs.
        credential["isResidentCredential"] = json!(true);
        self.call(Method::POST, "credential", Some(credential)).await;
    }

    /// It holds this passkey and no other.
    pub async fn hold(&self, credential: &Value) {
        self.forget().await;
        self.add(credential).await;
    }

    /// Whether it verifies the person from now on.
    pub async fn verifies(&self, verifies: bool) {
        self.call(Method::POST, "uv", Some(json!({ "isUserVerified": verifies }))).await;
    }
}
