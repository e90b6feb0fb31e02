//! On the way to privileged work.

use serde::Serialize;

use super::{super::Moment, Client, Person, Scope, UsePasskey};

/// `step_up.html`: posts `csrf`, `request`, `decision` = `deny`, or `decline` where `may_decline`; the button `use-passkey`
/// works by script.
#[derive(Clone, Serialize)]
pub struct StepUp {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Client,
    pub user: Person,
    /// The privileged scopes; none where the client only asks for a stronger proof.
    pub scopes: Vec<Scope>,
    /// How long the privileged session may live.
    pub minutes: Option<i64>,
    /// Absent: the person has none.
    pub passkey: Option<UsePasskey>,
    /// Where a password and a code are taken instead, where these suffice.
    pub by_code: Option<String>,
    /// The proof is only wished for.
    pub may_decline: bool,
}

/// `privileged_elsewhere.html`: posts `csrf`, `request`, `decision` = `end-other` or `deny`.
#[derive(Clone, Serialize)]
pub struct PrivilegedElsewhere {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Client,
    pub user: Person,
    pub open: Vec<OpenWork>,
}

/// A privileged session in another browser.
#[derive(Clone, Debug, Serialize)]
pub struct OpenWork {
    pub device: String,
    pub place: Option<String>,
    pub started_at: Moment,
}

/// `access.html`: posts `csrf`, `request`, `decision` = `leave`.
#[derive(Clone, Serialize)]
pub struct Access {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Client,
    /// The privileged scopes.
    pub scopes: Vec<Scope>,
    /// Why not, in a sentence or two.
    pub reason: String,
}

/// `elevation.html`: posts `csrf`, `request`, and `decision`: to ask, `ask` (with `reason` and `minutes`); while it waits,
/// `withdraw`; where `break_glass`, `break-glass`; and always `leave`.
#[derive(Clone, Serialize)]
pub struct Elevation {
    pub action: String,
    /// This page.
    pub again: String,
    pub csrf: String,
    pub request: String,
    pub client: Client,
    pub user: Person,
    pub scopes: Vec<Scope>,
    /// `ask`, `waiting`, `refused`, or `emergency`: about to go on alone.
    pub state: &'static str,
    pub error: Option<String>,
    pub reason: String,
    pub minutes: i64,
    /// The most minutes.
    pub longest: i64,
    /// Whom mail reaches of those who may approve, and of the administrators: `all`, `some` or `nobody`.
    pub approvers: &'static str,
    pub administrators: &'static str,
    /// Where one is asked once more before going on alone; `None`: one cannot.
    pub emergency: Option<String>,
    /// It has been asked for.
    pub is_asked: bool,
    pub asked_at: Option<Moment>,
    pub expires_at: Option<Moment>,
    /// Who refused.
    pub decided_by: Option<String>,
    pub note: Option<String>,
}
