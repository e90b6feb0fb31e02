//! One's own account, and what one signs in with.

use serde::Serialize;

use super::{
    super::{Moment, Qr},
    AddPasskey, Person,
};

/// `account.html`: posts to `{action_base}/passkeys/rename` (`credential`, `label`), `{action_base}/passkeys/remove`
/// (`credential`), `{action_base}/end` (`session`), `/end-others`, `/withdraw` (`client_id`), `/sign-out`,
/// each with `csrf`.
#[derive(Clone, Serialize)]
pub struct Account {
    pub user: Person,
    pub csrf: String,
    pub action_base: String,
    /// What has just been done, in a sentence.
    pub notice: Option<String>,
    /// The person has proved who they are for something that was not done yet.
    pub confirmed: bool,
    /// For those who may decide there.
    pub hub: Option<AccountHub>,
    pub factors: AccountFactors,
    pub passkeys: Vec<AccountPasskey>,
    pub add_passkey: Option<AddPasskey>,
    pub sessions: Vec<AccountSession>,
    /// Where the older ones are, if there are more than these.
    pub older_sessions: Option<String>,
    pub devices: Vec<AccountDevice>,
    pub consents: Vec<AccountConsent>,
    pub offline: Vec<AccountOffline>,
    /// Where the older ones are, if there are more than these.
    pub older_offline: Option<String>,
}

/// The way to the Identity Hub, on `account.html`.
#[derive(Clone, Serialize)]
pub struct AccountHub {
    pub href: String,
    /// How many requests and reviews wait there.
    pub waiting: i64,
}

/// What a person signs in with beside passkeys, on `account.html`.
#[derive(Clone, Serialize)]
pub struct AccountFactors {
    /// Where to change the password.
    pub password: String,
    pub has_password: bool,
    /// Where to add an authenticator app.
    pub authenticator: String,
    /// Since when there is one.
    pub authenticator_at: Option<Moment>,
    pub recovery_codes_left: usize,
    /// Changing any of it takes one: the only passkeys are suspended.
    pub needs_recovery_code: bool,
}

/// A passkey of one's own.
#[derive(Clone, Debug, Serialize)]
pub struct AccountPasskey {
    pub id: String,
    pub label: String,
    pub created_at: Moment,
    pub last_used_at: Option<Moment>,
    /// Taken out of use: there may be a copy of it.
    pub suspended_at: Option<Moment>,
    /// An attestation showed that its key cannot leave its hardware.
    pub attested: bool,
}

/// A session of one's own.
#[derive(Clone, Debug, Serialize)]
pub struct AccountSession {
    pub id: String,
    pub current: bool,
    /// `user`, `privileged`, `device`: shown unless it is `user`.
    pub kind: String,
    pub device: String,
    pub place: Option<String>,
    pub started_at: Moment,
    pub last_seen_at: Moment,
    pub expires_at: Moment,
    /// Names of the clients that took part.
    pub clients: Vec<String>,
}

/// A browser in which one has signed in before.
#[derive(Clone, Debug, Serialize)]
pub struct AccountDevice {
    pub id: String,
    pub label: String,
    pub current: bool,
    pub known_since: Moment,
    pub used_at: Moment,
}

/// What one has allowed a client.
#[derive(Clone, Debug, Serialize)]
pub struct AccountConsent {
    pub client_id: String,
    pub client_name: String,
    /// Begins a sign-in there (`initiate_login_uri`).
    pub open: Option<String>,
    pub scopes: Vec<String>,
    pub granted_at: Moment,
}

/// A client that keeps access while one is away.
#[derive(Clone, Debug, Serialize)]
pub struct AccountOffline {
    pub id: String,
    pub client_name: String,
    pub started_at: Moment,
    pub expires_at: Moment,
}

/// `authenticator.html`: posts `csrf`, `nonce`, `code`.
#[derive(Clone, Serialize)]
pub struct Authenticator {
    pub action: String,
    pub csrf: String,
    /// What the key follows from.
    pub nonce: String,
    /// The key, in groups of four.
    pub secret: String,
    /// The same for an app on this device (`otpauth:`).
    pub link: String,
    /// The link, to be scanned.
    pub qr: Option<Qr>,
    pub account: String,
    pub error: Option<String>,
}

/// `recovery_codes.html`: shown for some minutes.
#[derive(Clone, Serialize)]
pub struct RecoveryCodes {
    /// With the authenticator that has just been added.
    pub first: bool,
    /// Whose they are: a printed sheet says it.
    pub username: String,
    pub codes: Vec<String>,
    /// The same codes as a file.
    pub file: String,
    pub account: String,
}

/// `change_password.html`: posts `csrf`, `password`, `password_again`, `end_others`.
#[derive(Clone, Serialize)]
pub struct ChangePassword {
    pub action: String,
    pub csrf: String,
    pub user: Person,
    /// Characters of a password that is taken.
    pub least: usize,
    pub account: String,
    pub error: Option<String>,
}
