//! Who may register clients over the network (RFC 7591).

use std::{num::NonZeroU32, path::PathBuf};

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::{failure::Stop, oauth::client_metadata::AssertionAudience};

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

impl Word for AssertionAudience {
    const WORDS: &'static [(&'static str, Self)] = &[("issuer", Self::Issuer), ("endpoint", Self::Endpoint)];
}

static POLICY: Key<Policy> = Key::or("policy", "off", "Nobody, whoever has the initial access token, or everybody.");
static INITIAL_ACCESS_TOKEN_FILE: Key<PathBuf> =
    Key::optional("initial_access_token_file", "", "Holds that token; required with the policy `token`.");
static REQUIRE_PKCE: Key<bool> = Key::or("require_pkce", "true", "Of clients that registered this way.");
static PER_SOURCE: Key<NonZeroU32> = Key::or(
    "per_source",
    "1000",
    "How many registrations, and changes of one, a network address may ask for in an hour.",
);
static UNUSED_LIMIT: Key<NonZeroU32> = Key::or(
    "unused_limit",
    "10000",
    "How many clients there may be that registered this way and were never used; a tenth of them from one network.",
);
static UNUSED_KEPT: Key<TimeDelta> =
    Key::or("unused_kept", "30d", "How long a client that registered this way and was never used is kept.");

static LIMIT: Key<NonZeroU32> =
    Key::or("limit", "20000", "How many clients there may be that registered this way, used or not.");
static LIMIT_KIB: Key<NonZeroU32> = Key::or(
    "limit_kib",
    "65536",
    "How many KiB the metadata of all of them may take. Those of one client take 8 KiB at most.",
);
static RESERVED_NAMES: Key<Vec<String>> = Key::or(
    "reserved_names",
    "",
    "Names that no client may give itself, nor one that looks like them, beside `pages.name`, the issuer's host and Identity \
     Hub.",
);
static ASSERTION_AUDIENCE: Key<AssertionAudience> = Key::or(
    "assertion_audience",
    "issuer",
    "What `aud` of the assertions of clients that register this way may be: `issuer`, or `endpoint`, a deviation that also \
     allows the URL of the endpoint called or of the token endpoint.",
);

pub static SECTION: Section = Section {
    name: "registration",
    doc: "Dynamic client registration (RFC 7591).",
    repeated: false,
    keys: || {
        vec![
            &POLICY,
            &INITIAL_ACCESS_TOKEN_FILE,
            &REQUIRE_PKCE,
            &PER_SOURCE,
            &UNUSED_LIMIT,
            &UNUSED_KEPT,
            &LIMIT,
            &LIMIT_KIB,
            &RESERVED_NAMES,
            &ASSERTION_AUDIENCE,
        ]
    },
};

/// Dynamic client registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub policy: Policy,
    pub initial_access_token_file: Option<PathBuf>,
    pub require_pkce: bool,
    /// Registrations an hour.
    pub per_source: u32,
    /// Clients.
    pub unused_limit: u32,
    pub unused_kept: TimeDelta,
    /// Clients.
    pub limit: u32,
    pub limit_kib: u32,
    pub reserved_names: Vec<String>,
    pub assertion_audience: AssertionAudience,
}

pub fn read(from: &Reader<'_>) -> Result<Registration, Stop> {
    let registration = Registration {
        policy: from.get(&POLICY)?,
        initial_access_token_file: from.find(&INITIAL_ACCESS_TOKEN_FILE)?,
        require_pkce: from.get(&REQUIRE_PKCE)?,
        per_source: from.get(&PER_SOURCE)?.get(),
        unused_limit: from.get(&UNUSED_LIMIT)?.get(),
        unused_kept: from.get(&UNUSED_KEPT)?,
        limit: from.get(&LIMIT)?.get(),
        limit_kib: from.get(&LIMIT_KIB)?.get(),
        reserved_names: from.get(&RESERVED_NAMES)?,
        assertion_audience: from.get(&ASSERTION_AUDIENCE)?,
    };
    if registration.policy == Policy::Token && registration.initial_access_token_file.is_none() {
        return Err(from.wrong(&POLICY, "it needs registration.initial_access_token_file"));
    }
    Ok(registration)
}
