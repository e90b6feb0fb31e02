//! Signing out.

use serde::Serialize;

use super::{Client, Person};

/// `sign_out.html`: posts `csrf`, `fields`, `decision` = `sign-out` or `cancel`.
#[derive(Clone, Serialize)]
pub struct SignOut {
    pub action: String,
    pub csrf: String,
    pub user: Option<Person>,
    pub client: Option<Client>,
    pub fields: Vec<(String, String)>,
}

/// `signed_out.html`.
#[derive(Clone, Debug, Serialize)]
pub struct SignedOut {
    /// What has ended: `session`, `grants` (of the client, in a session that goes on) or `nothing`.
    pub ended: &'static str,
    /// Why nothing has.
    pub cause: &'static str,
    /// Where people see and end their sessions in other browsers.
    pub account: String,
    /// Marked where it registered itself and the person is to decide whether to go on to it.
    pub client: Option<Client>,
    pub continue_uri: Option<String>,
}

/// `signing_out.html`: loads `frames`, then goes to `onward`.
#[derive(Clone, Debug, Serialize)]
pub struct SigningOut {
    pub client: Option<Client>,
    pub onward: Option<String>,
    pub frames: Vec<String>,
}
