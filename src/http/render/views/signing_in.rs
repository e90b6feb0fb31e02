//! Signing in, with all that may be asked for on the way.

use serde::Serialize;

use super::{AddPasskey, Cancel, Client, Person, Scope, UsePasskey};

/// `login.html`: posts `csrf`, `request` or `confirm`, `username`, `password`.
#[derive(Clone, Serialize)]
pub struct Login {
    pub action: String,
    pub csrf: String,
    /// Which pending authorization request this sign-in belongs to; absent when there is none.
    pub request: Option<String>,
    /// The page of our own that asks somebody to prove again who they are.
    pub confirm: Option<String>,
    /// What that takes, as an `acr`, or `recovery`.
    pub required: Option<String>,
    /// What has just been done, in a sentence.
    pub notice: Option<&'static str>,
    pub client: Option<Client>,
    /// Who is signed in and might as well go on to their account.
    pub signed_in: Option<Person>,
    /// Who is signed in and to prove it again.
    pub user: Option<Person>,
    /// Where somebody else signs in instead.
    pub another: String,
    pub passkey: Option<UsePasskey>,
    pub username: String,
    pub error: Option<String>,
    /// Seconds until another try makes sense.
    pub retry_after: Option<u64>,
    /// Where one gets another password.
    pub forgotten: String,
    /// Absent where no authorization request waits.
    pub cancel: Option<Cancel>,
}

/// `crowded.html`: nothing new begins at the browser's address for the moment, but with a passkey.
#[derive(Clone, Serialize)]
pub struct Crowded {
    /// The address that was opened.
    pub again: String,
    /// Seconds until it can be opened again.
    pub retry_after: u64,
    pub passkey: UsePasskey,
    pub code: &'static str,
    pub request_id: String,
}

/// `second_factor.html`: posts `csrf`, `ceremony`, `by`, `code`.
#[derive(Clone, Serialize)]
pub struct SecondFactor {
    pub action: String,
    pub csrf: String,
    pub ceremony: String,
    /// It asks for a recovery code.
    pub recovery: bool,
    /// The page that asks for the other kind of code.
    pub other: String,
    /// Where one goes who gives up, where no authorization request waits.
    pub back: Option<String>,
    pub client: Option<Client>,
    /// Absent where no authorization request waits.
    pub cancel: Option<Cancel>,
    pub error: Option<String>,
    /// Seconds until another try makes sense.
    pub retry_after: Option<u64>,
}

/// `select_account.html`: posts `csrf`, `request`, `decision` = `continue` or `another`.
#[derive(Clone, Serialize)]
pub struct SelectAccount {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Option<Client>,
    pub user: Person,
    pub cancel: Cancel,
}

/// `consent.html`: posts `csrf`, `request`, `decision` = `allow` or `deny`.
#[derive(Clone, Serialize)]
pub struct Consent {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Client,
    pub user: Person,
    pub scopes: Vec<Scope>,
    /// What the person has not got, and what is asked for takes.
    pub lacks: Option<&'static str>,
}

/// `reset_password.html`: posts `request` and `username`; with a link's `token`, and `password`, `password_again`, `code`,
/// `end_others`.
#[derive(Clone, Default, Serialize)]
pub struct ResetPassword {
    pub action: String,
    /// The authorization request that the sign-in is for.
    pub request: Option<String>,
    /// Where one signs in.
    pub sign_in: String,
    /// How long a link is good.
    pub minutes: i64,
    /// A mail was sent, if there was anybody to send it to.
    pub sent: bool,
    /// The password was set.
    pub done: bool,
    /// How good the new one is, in a word.
    pub strength: String,
    /// What would make it better.
    pub advice: String,
    /// The link that was opened.
    pub token: Option<String>,
    pub username: String,
    /// Whether a code is asked for beside the password.
    pub code: bool,
    /// Characters of a password that is taken.
    pub least: usize,
    pub error: Option<String>,
}

/// `set_up.html`: posts `token`, `username`, `password`, `password_again`.
#[derive(Clone, Serialize)]
pub struct SetUp {
    pub action: String,
    pub token: String,
    pub add_passkey: Option<AddPasskey>,
    pub username: String,
    pub email: String,
    pub error: Option<String>,
}
