//! What each page shows: one struct for each template, field for field.
//!
//! They hold text that is ready to be read; nothing in them is looked up or decided here. Structs that carry a form's
//! secret have no `Debug`, so that it cannot end up in a log.

mod account;
mod demo;
mod hub;
mod privileged;
mod signing_in;
mod signing_out;

use serde::Serialize;

pub use self::{
    account::{
        Account, AccountConsent, AccountDevice, AccountFactors, AccountHub, AccountOffline, AccountPasskey,
        AccountSession, Authenticator, ChangePassword, RecoveryCodes,
    },
    demo::{DemoApiResult, DemoHome, DemoSignedIn},
    hub::{HubClosed, HubElevation, HubElevations, HubLink},
    privileged::{Access, Elevation, OpenWork, PrivilegedElsewhere, StepUp},
    signing_in::{Consent, Crowded, Login, ResetPassword, SecondFactor, SelectAccount, SetUp},
    signing_out::{SignOut, SignedOut, SigningOut},
};

/// The relying party that a page speaks of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Client {
    pub name: String,
    pub uri: Option<String>,
    pub logo: Option<String>,
    pub policy_uri: Option<String>,
    pub tos_uri: Option<String>,
    /// The host that the answer goes to, or the custom scheme with its colon: what a name cannot fake.
    pub redirect_host: Option<String>,
    /// `web`; `device`: a program that listens at a loopback address; `scheme`: whatever program opens links of the scheme.
    pub redirect_kind: Option<&'static str>,
    /// Set where it registered itself, so that nobody has checked what it says.
    pub unverified: Option<Unverified>,
}

/// What a person should know of a client that registered itself (RFC 7591 §5).
#[derive(Clone, Debug, Default, Serialize)]
pub struct Unverified {
    /// Where its links and its logo lead, if not to where the answer goes.
    pub other_hosts: Vec<String>,
}

/// The person that a page speaks to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Person {
    pub username: String,
    pub name: Option<String>,
}

/// A button `use-passkey` (`_passkey.html`): its script calls `options`, then `finish`, with the other members.
#[derive(Clone, Default, Serialize)]
pub struct UsePasskey {
    pub options: String,
    pub finish: String,
    /// Absent where the browser has no session yet.
    pub csrf: Option<String>,
    pub request: Option<String>,
    pub confirm: Option<String>,
    /// `another`: not for who is signed in.
    pub another: Option<String>,
    /// Also offered where the username is typed.
    pub autofill: bool,
    /// Where the sign-in leads, where nothing is stored that says so; marked by this server.
    pub to: Option<String>,
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

/// One thing that a client asks for.
#[derive(Clone, Debug, Serialize)]
pub struct Scope {
    pub name: String,
    pub description: String,
    /// Outlives the session (`offline_access`).
    pub offline: bool,
}

/// A form `cancel` (`_cancel.html`): posts `csrf`, `request` and `cancel`.
#[derive(Clone, Serialize)]
pub struct Cancel {
    pub action: String,
    pub csrf: String,
    pub request: String,
}

/// How a person leaves an authorization request that no form of ours can answer: the answer itself.
#[derive(Clone, Serialize)]
pub struct Leave {
    /// The client's redirect URI; with the answer in it, unless there are `fields`.
    pub address: String,
    /// What is posted there.
    pub fields: Vec<(String, String)>,
}

/// `error.html`: what happened in a person's words; `code` and `request_id` are for whoever is asked for help.
#[derive(Clone, Default, Serialize)]
pub struct ErrorPage {
    pub title: String,
    pub message: String,
    pub hint: Option<String>,
    pub code: Option<String>,
    pub request_id: Option<String>,
    /// The parameter that was refused, and its value.
    pub sent: Option<(String, String)>,
    /// The way back to the client, where an authorization request waits.
    pub leave: Option<Leave>,
    /// A page where the person can go on.
    pub way: Option<Way>,
}

/// A link, ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Way {
    pub label: String,
    pub address: String,
}

/// `form_post.html`: posts `fields` to `action`, the client's redirect URI (OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Serialize)]
pub struct FormPost {
    pub action: String,
    pub fields: Vec<(String, String)>,
    pub client: Option<Client>,
}

/// `other_address.html`: a page was opened under another address than the issuer's.
#[derive(Clone, Debug, Serialize)]
pub struct OtherAddress {
    /// `host[:port]`, as the browser or a proxy named it.
    pub seen: String,
    pub issuer: String,
    /// The same page under the issuer's address.
    pub here: String,
}

/// `welcome.html`.
#[derive(Clone, Debug, Serialize)]
pub struct Welcome {
    pub issuer: String,
    pub signed_in: Option<Person>,
    /// They were a moment ago.
    pub signed_out: bool,
}
