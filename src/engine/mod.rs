//! oxide-auth's state machines, driven by us.
//!
//! `oxide_auth::code_grant` holds sans-IO machines that decide the order of the steps, the syntax of parameters, PKCE,
//! that a code or refresh token belongs to this client and redirect URI, and that a refresh never widens scope. Each
//! file here drives one of them to its end in a single call: what the machine may ask for has been loaded from the
//! database before, by one statement, so no machine, and no borrowed request, lives across an await.
//!
//! Not for what the machines cannot know (sessions, expiry, replay, client authentication); and nothing of theirs gets
//! out: answers are in our own error codes, because theirs differ from the RFCs in places that
//! `tests/integration/contracts/oxide_auth.rs` pins.

pub mod access_token;
pub mod authorization;
pub mod client_credentials;
pub mod refresh;
pub mod resource;

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use oxide_auth::primitives::registrar::{ExactUrl, RegisteredUrl};
use url::Url;

use crate::failure::Broken;

/// An expiry that never bites: the machines read the system clock, ours is passed in (invariant 8), and the database
/// has judged expiry already.
fn far() -> DateTime<Utc> {
    DateTime::<Utc>::MAX_UTC
}

/// The machines insist on a redirect URI, also where the protocol has none.
fn no_redirect() -> Result<Url, Broken> {
    static NOWHERE: LazyLock<Result<Url, url::ParseError>> = LazyLock::new(|| "https://client.invalid/".parse());
    NOWHERE.clone().map_err(Broken::new)
}

fn registered(uri: &str) -> Result<RegisteredUrl, Broken> {
    let exact =
        ExactUrl::new(uri.to_owned()).map_err(|error| Broken::new(format_args!("redirect URI {uri}: {error}")))?;
    Ok(RegisteredUrl::Exact(exact))
}

/// A machine asked for something out of turn: a defect, here or there.
#[track_caller]
fn out_of_turn(machine: &str) -> Broken {
    Broken::new(format_args!("the {machine} machine asked out of turn"))
}
