//! A passkey in software, and an [`Agent`] with fingers to use it: what the script of the pages does, step by step.
//!
//! The authenticator is somebody else's code. It keeps no discoverable passkeys, so the handle of its person is kept here.

use serde_json::{Value, json};
use url::Url;
use webauthn_authenticator_rs::{
    AuthenticatorBackend,
    prelude::{CreationChallengeResponse, RequestChallengeResponse},
    softpasskey::SoftPasskey,
};

use super::agent::{Agent, Page};

/// An authenticator; it may hold several passkeys.
pub struct Passkey {
    soft: SoftPasskey,
    /// The WebAuthn credential ids, each with the handle of its person, in base64url.
    held: Vec<(String, String)>,
    /// Whether it verifies the person.
    pub verifies: bool,
    /// Where its browser says that it is, instead of where it is.
    pub origin: Option<String>,
}

impl Passkey {
    pub fn new() -> Self {
        Self { soft: SoftPasskey::new(true), held: Vec::new(), verifies: true, origin: None }
    }

    fn origin(&self, page: &Url) -> Url {
        let origin = self.origin.clone().unwrap_or_else(|| page.origin().ascii_serialization());
        Url::parse(&origin).expect("an origin")
    }

    fn verification(&self) -> &'static str {
        if self.verifies { "required" } else { "discouraged" }
    }

    /// `navigator.credentials.create` on `page`.
    pub fn create(&mut self, page: &Url, options: &Value) -> Value {
        assert_eq!(options["authenticatorSelection"]["residentKey"], "required", "{options}");
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required", "{options}");
        let mut options = options.clone();
        options["authenticatorSelection"] =
            json!({ "requireResidentKey": false, "userVerification": self.verification() });
        let challenge: CreationChallengeResponse =
            serde_json::from_value(json!({ "publicKey": options })).expect("creation options");
        let origin = self.origin(page);
        let made = AuthenticatorBackend::perform_register(&mut self.soft, origin, challenge.public_key, 1000);
        let made = made.expect("a passkey");
        self.held.push((made.id.clone(), options["user"]["id"].as_str().expect("a user handle").to_owned()));
        serde_json::to_value(made).expect("JSON")
    }

    /// `navigator.credentials.get` on `page`, with one of the allowed passkeys.
    pub fn sign(&mut self, page: &Url, options: &Value) -> Value {
        assert_eq!(options["userVerification"], "required", "{options}");
        let allowed: Vec<&str> =
            options["allowCredentials"].as_array().expect("a list").iter().filter_map(|it| it["id"].as_str()).collect();
        let held = self.held.clone();
        let fitting = held.iter().find(|(id, _)| allowed.is_empty() || allowed.contains(&id.as_str()));
        let (id, user) = fitting.unwrap_or_else(|| panic!("none of {allowed:?} is held"));
        self.sign_with(page, options, id, user)
    }

    /// The same, whatever is allowed.
    pub fn sign_anyway(&mut self, page: &Url, options: &Value) -> Value {
        let (id, user) = self.held.first().expect("a passkey").clone();
        self.sign_with(page, options, &id, &user)
    }

    fn sign_with(&mut self, page: &Url, options: &Value, id: &str, user: &str) -> Value {
        let mut options = options.clone();
        options["allowCredentials"] = json!([{ "type": "public-key", "id": id }]);
        options["userVerification"] = json!(self.verification());
        let challenge: RequestChallengeResponse =
            serde_json::from_value(json!({ "publicKey": options })).expect("request options");
        let origin = self.origin(page);
        let signed = AuthenticatorBackend::perform_auth(&mut self.soft, origin, challenge.public_key, 1000);
        let mut signed = serde_json::to_value(signed.expect("an assertion")).expect("JSON");
        signed["response"]["userHandle"] = json!(user);
        signed
    }
}

/// A ceremony that a page began.
#[derive(Clone, Debug)]
pub struct Asked {
    page: Url,
    finish: String,
    members: Value,
    pub options: Value,
}

impl Asked {
    /// What is sent, with another member.
    pub fn with(mut self, name: &str, value: &Value) -> Self {
        self.members[name] = value.clone();
        self
    }

    /// What the page sends with what the authenticator made of it.
    pub fn body(&self, credential: &Value) -> Value {
        let mut body = self.members.clone();
        body["credential"] = credential.clone();
        body
    }

    pub fn member(&self, name: &str) -> &Value {
        &self.members[name]
    }

    pub fn page(&self) -> &Url {
        &self.page
    }
}

impl Agent {
    /// Presses a button of a page: its script asks the server. `Err`: what it answered instead of a question.
    pub async fn ask(&self, page: &Page, button: &str, typed: &[(&str, &str)]) -> Result<Asked, Page> {
        let data = page.data(button).unwrap_or_else(|| panic!("no {button} on {}:\n{}", page.url, page.body));
        let mut members = json!({});
        let (mut options, mut finish) = (String::new(), String::new());
        for (name, value) in data {
            match name.as_str() {
                "options" => options = value,
                "finish" => finish = value,
                "autofill" => {}
                _ => members[name] = json!(value),
            }
        }
        for (name, value) in typed {
            members[*name] = json!(value);
        }
        let answer = self.call(&options, &members).await;
        let said = answer.json();
        if answer.status != 200 || said["publicKey"].is_null() {
            return Err(answer);
        }
        members["ceremony"] = said["ceremony"].clone();
        Ok(Asked { page: page.url.clone(), finish, members, options: said["publicKey"].clone() })
    }

    /// Sends what the authenticator made of it.
    pub async fn answer(&self, asked: &Asked, credential: &Value) -> Page {
        self.call(&asked.finish, &asked.body(credential)).await
    }

    /// Goes where an answer leads.
    pub async fn go_on(&self, answer: &Page) -> Page {
        let said = answer.json();
        let next = said["next"].as_str().unwrap_or_else(|| panic!("{}: {said}", answer.status));
        self.open(next).await
    }

    /// Presses `use-passkey` on this page (sign-in, step-up), and goes where it leads.
    pub async fn use_passkey(&self, page: &Page, passkey: &mut Passkey) -> Page {
        let asked = self.ask(page, "use-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
        let signed = passkey.sign(&asked.page, &asked.options);
        let answer = self.answer(&asked, &signed).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.go_on(&answer).await
    }

    /// Presses `add-passkey` on the account page of whoever has just signed in here.
    pub async fn enrol_passkey(&self, account: &Page, passkey: &mut Passkey) -> Page {
        let asked = self.ask(account, "add-passkey", &[("label", "A soft passkey")]).await;
        let asked = asked.unwrap_or_else(|page| panic!("{}", page.body));
        let made = passkey.create(&asked.page, &asked.options);
        let answer = self.answer(&asked, &made).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        self.go_on(&answer).await
    }
}

impl Page {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }
}
