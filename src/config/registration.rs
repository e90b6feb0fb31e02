//! Who may register clients over the network (RFC 7591).

use std::path::PathBuf;

use super::{
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::failure::Stop;

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Off,
    /// Whoever has the initial access token.
    Token,
    Open,
}

impl Word for Policy {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("token", Self::Token), ("open", Self::Open)];
}

static POLICY: Key<Policy> = Key::or("policy", "off", "Nobody, whoever has the initial access token, or everybody.");
static INITIAL_ACCESS_TOKEN_FILE: Key<PathBuf> =
    Key::optional("initial_access_token_file", "", "Holds that token; required with the policy `token`.");
static REQUIRE_PKCE: Key<bool> = Key::or("require_pkce", "true", "Of clients that registered this way.");

pub static SECTION: Section = Section {
    name: "registration",
    doc: "Dynamic client registration (RFC 7591).",
    repeated: false,
    keys: || vec![&POLICY, &INITIAL_ACCESS_TOKEN_FILE, &REQUIRE_PKCE],
};

/// Dynamic client registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub policy: Policy,
    pub initial_access_token_file: Option<PathBuf>,
    pub require_pkce: bool,
}

pub fn read(from: &Reader<'_>) -> Result<Registration, Stop> {
    let registration = Registration {
        policy: from.get(&POLICY)?,
        initial_access_token_file: from.find(&INITIAL_ACCESS_TOKEN_FILE)?,
        require_pkce: from.get(&REQUIRE_PKCE)?,
    };
    if registration.policy == Policy::Token && registration.initial_access_token_file.is_none() {
        return Err(from.wrong(&POLICY, "it needs registration.initial_access_token_file"));
    }
    Ok(registration)
}
