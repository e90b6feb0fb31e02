//! The demo's relying party.

use serde::Serialize;

use super::Person;

/// `demo/home.html`.
#[derive(Clone, Debug, Serialize)]
pub struct DemoHome {
    /// Starts the flow (a link, GET).
    pub sign_in: String,
    pub issuer: String,
    /// Demo users and their passwords, to sign in with.
    pub users: Vec<(String, String)>,
    pub notice: Option<String>,
    pub error: Option<String>,
}

/// `demo/signed_in.html`: posts `csrf` to the five actions.
#[derive(Clone, Serialize)]
pub struct DemoSignedIn {
    pub user: Person,
    pub issuer: String,
    pub csrf: String,
    pub call_action: String,
    /// Calls the privileged resource.
    pub pay_action: String,
    /// Goes and proves what the API asked for (a link, GET).
    pub step_up: Option<String>,
    pub refresh_action: String,
    pub end_action: String,
    /// Forgets the tokens, to begin anew.
    pub forget_action: String,
    /// The account page of the server.
    pub account: String,
    /// The session has ended: the same token is shown being refused.
    pub ended: bool,
    /// The access token died of age; the session lives.
    pub expired: bool,
    pub notice: Option<String>,
    pub error: Option<String>,
    /// JSON, indented.
    pub id_token_claims: String,
    pub access_token: String,
    /// JSON, indented.
    pub introspection: String,
    /// JSON, indented.
    pub userinfo: String,
    pub api_result: Option<DemoApiResult>,
}

/// What the demo's resource server answered.
#[derive(Clone, Debug, Serialize)]
pub struct DemoApiResult {
    pub status: u16,
    pub ok: bool,
    /// `WWW-Authenticate`, where it refused.
    pub challenge: Option<String>,
    pub body: String,
}
