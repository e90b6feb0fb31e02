//! What each page shows: one struct for each template, field for field.
//!
//! They hold text that is ready to be read; nothing in them is looked up or decided here. Structs that carry a form's
//! secret have no `Debug`, so that it cannot end up in a log.

use serde::Serialize;

use super::{Moment, Qr};

/// The relying party that a page speaks of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Client {
    pub name: String,
    pub uri: Option<String>,
    pub logo: Option<String>,
    pub policy_uri: Option<String>,
    pub tos_uri: Option<String>,
    /// The host (or custom scheme) that the answer goes to: what a name cannot fake.
    pub redirect_host: Option<String>,
}

/// The person that a page speaks to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Person {
    pub username: String,
    pub name: Option<String>,
}

/// A button `use-passkey` (`_passkey.html`): its script calls `options`, then `finish`, with the other members.
#[derive(Clone, Serialize)]
pub struct UsePasskey {
    pub options: String,
    pub finish: String,
    pub csrf: String,
    pub request: Option<String>,
    pub confirm: Option<String>,
    /// `another`: not for who is signed in.
    pub another: Option<String>,
    /// Also offered where the username is typed.
    pub autofill: bool,
}

/// A button `add-passkey` (`_passkey.html`): its script calls `options`, then `finish`, with the other members and the
/// values of the inputs.
#[derive(Clone, Serialize)]
pub struct AddPasskey {
    pub options: String,
    pub finish: String,
    pub csrf: Option<String>,
    pub token: Option<String>,
}

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
    pub client: Option<Client>,
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
}

/// One thing that a client asks for.
#[derive(Clone, Debug, Serialize)]
pub struct Scope {
    pub name: String,
    pub description: String,
    /// Outlives the session (`offline_access`).
    pub offline: bool,
}

/// `select_account.html`: posts `csrf`, `request`, `decision` = `continue` or `another`.
#[derive(Clone, Serialize)]
pub struct SelectAccount {
    pub action: String,
    pub csrf: String,
    pub request: String,
    pub client: Option<Client>,
    pub user: Person,
}

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
    pub factors: AccountFactors,
    pub passkeys: Vec<AccountPasskey>,
    pub add_passkey: Option<AddPasskey>,
    pub sessions: Vec<AccountSession>,
    pub consents: Vec<AccountConsent>,
    pub offline: Vec<AccountOffline>,
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

/// `error.html`: what happened in a person's words; `code` and `request_id` are for whoever is asked for help.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    pub title: String,
    pub message: String,
    pub hint: Option<String>,
    pub code: Option<String>,
    pub request_id: Option<String>,
}

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

/// `set_up.html`: posts `token`, `username`, `password`, `password_again`.
#[derive(Clone, Serialize)]
pub struct SetUp {
    pub action: String,
    pub token: String,
    pub add_passkey: Option<AddPasskey>,
    pub username: String,
    pub error: Option<String>,
}

/// `form_post.html`: posts `fields` to `action`, the client's redirect URI (OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Serialize)]
pub struct FormPost {
    pub action: String,
    pub fields: Vec<(String, String)>,
    pub client: Option<Client>,
}

/// `welcome.html`.
#[derive(Clone, Debug, Serialize)]
pub struct Welcome {
    pub issuer: String,
    pub signed_in: Option<Person>,
}

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

/// `second_factor.html`: posts `csrf`, `ceremony`, `code`.
#[derive(Clone, Serialize)]
pub struct SecondFactor {
    pub action: String,
    pub csrf: String,
    pub ceremony: String,
    pub client: Option<Client>,
    pub error: Option<String>,
    /// Seconds until another try makes sense.
    pub retry_after: Option<u64>,
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

/// `recovery_codes.html`: shown once.
#[derive(Clone, Serialize)]
pub struct RecoveryCodes {
    /// With the authenticator that has just been added.
    pub first: bool,
    pub codes: Vec<String>,
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

/// `reset_password.html`: posts `username`; with a link's `token`, and `password`, `password_again`, `code`, `end_others`.
#[derive(Clone, Default, Serialize)]
pub struct ResetPassword {
    pub action: String,
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
    /// `ask`, `waiting` or `refused`.
    pub state: &'static str,
    pub error: Option<String>,
    pub reason: String,
    pub minutes: i64,
    /// The most minutes.
    pub longest: i64,
    /// Whether one can go on alone.
    pub break_glass: bool,
    pub asked_at: Option<Moment>,
    pub expires_at: Option<Moment>,
    /// Who refused.
    pub decided_by: Option<String>,
    pub note: Option<String>,
}

/// A page of the hub, in its navigation.
#[derive(Clone, Debug, Serialize)]
pub struct HubLink {
    pub title: &'static str,
    pub href: String,
    pub current: bool,
}

/// `hub/closed.html`.
#[derive(Clone, Debug, Serialize)]
pub struct HubClosed {
    pub title: &'static str,
    pub why: String,
    pub again: String,
}

/// `hub/elevations.html`: posts `csrf`, `elevation`, `note`, `decision` = `approve`, `refuse` or `review`.
#[derive(Clone, Serialize)]
pub struct HubElevations {
    pub pages: Vec<HubLink>,
    pub action: String,
    pub csrf: String,
    pub user: Person,
    pub notice: Option<&'static str>,
    pub error: Option<&'static str>,
    pub waiting: Vec<HubElevation>,
    pub reviews: Vec<HubElevation>,
    pub settled: Vec<HubElevation>,
}

/// Privileged work that somebody asked for.
#[derive(Clone, Debug, Serialize)]
pub struct HubElevation {
    pub id: String,
    /// Who.
    pub person: Person,
    /// It is the reader's own.
    pub own: bool,
    /// In which client.
    pub client: String,
    pub scopes: Vec<Scope>,
    pub reason: String,
    pub minutes: i32,
    /// From where.
    pub device: Option<String>,
    pub place: Option<String>,
    pub asked_at: Moment,
    pub expires_at: Moment,
    /// What became of it.
    pub outcome: &'static str,
    pub used: bool,
    /// Who decided or reviewed, what they said, and when.
    pub by: Option<String>,
    pub note: Option<String>,
    pub at: Option<Moment>,
}
