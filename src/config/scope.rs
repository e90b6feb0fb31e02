//! Declared scopes, and what the privileged ones demand.

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::{failure::Stop, oauth::client_metadata::is_scope_token};

/// What a step-up must have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepUpAcr {
    Phr,
    Phrh,
    Mfa,
}

impl StepUpAcr {
    /// The `acr` value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phr => "phr",
            Self::Phrh => "phrh",
            Self::Mfa => "urn:mooring:acr:mfa",
        }
    }
}

impl Word for StepUpAcr {
    const WORDS: &'static [(&'static str, Self)] =
        &[("phr", Self::Phr), ("phrh", Self::Phrh), ("urn:mooring:acr:mfa", Self::Mfa)];
}

/// Who else must agree before a privileged session begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    None,
    FourEyes,
}

impl Word for Approval {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("four_eyes", Self::FourEyes)];
}

static NAME: Key<String> = Key::required("name", "As it stands in requests.");
static DESCRIPTION: Key<String> = Key::optional("description", "its name", "What people read on the consent page.");
static PRIVILEGED: Key<bool> = Key::or("privileged", "false", "Needs a step-up and gives a privileged session.");
static ACR: Key<StepUpAcr> = Key::or(
    "acr",
    "phr",
    "What the step-up must show: a passkey with user verification, the same bound to hardware, or two factors.",
);
static MAX_AGE: Key<TimeDelta> = Key::or("max_age", "5m", "How old that may be when the code is issued.");
static DURATION: Key<TimeDelta> = Key::or("duration", "15m", "How long the privileged session lives.");
static APPROVAL: Key<Approval> = Key::or("approval", "none", "Whether a second person must agree.");

pub static SECTION: Section = Section {
    name: "scope",
    doc: "A scope of one's own. `acr`, `max_age`, `duration` and `approval` are for privileged ones.",
    repeated: true,
    keys: || vec![&NAME, &DESCRIPTION, &PRIVILEGED, &ACR, &MAX_AGE, &DURATION, &APPROVAL],
};

/// A declared scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub name: String,
    pub description: Option<String>,
    /// What it demands, if it is privileged.
    pub privileged: Option<Privileged>,
}

/// What a privileged scope demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileged {
    pub acr: StepUpAcr,
    pub max_age: TimeDelta,
    pub duration: TimeDelta,
    pub approval: Approval,
}

pub fn read(rows: &[Reader<'_>]) -> Result<Vec<Scope>, Stop> {
    let mut scopes: Vec<Scope> = Vec::with_capacity(rows.len());
    for from in rows {
        let scope = one(from)?;
        if scopes.iter().any(|other| other.name == scope.name) {
            return Err(from.wrong(&NAME, "another [[scope]] above has this name: keep one of them"));
        }
        scopes.push(scope);
    }
    Ok(scopes)
}

fn one(from: &Reader<'_>) -> Result<Scope, Stop> {
    let name = from.get(&NAME)?;
    if !is_scope_token(&name) {
        return Err(
            from.wrong(&NAME, "use printable ASCII without spaces, quotation marks and backslashes (RFC 6749 §3.3)")
        );
    }
    let privileged = from.get(&PRIVILEGED)?;
    if privileged && ["openid", "offline_access"].contains(&name.as_str()) {
        return Err(
            from.wrong(&PRIVILEGED, format!("{name} is asked for at every sign-in: declare a scope of your own"))
        );
    }
    let privileged = if privileged {
        Some(Privileged {
            acr: from.get(&ACR)?,
            max_age: from.positive(&MAX_AGE)?,
            duration: from.positive(&DURATION)?,
            approval: from.get(&APPROVAL)?,
        })
    } else {
        // Without effect they would be read as a protection that is not there.
        let unused = ["acr", "max_age", "duration", "approval"];
        if let Some((key, _)) = from.entries().find(|(key, _)| unused.contains(&key.as_str())) {
            return Err(from.wrong_entry(
                key,
                false,
                "it is for privileged scopes only: add privileged = true, or leave it out",
            ));
        }
        None
    };
    Ok(Scope { name, description: from.find(&DESCRIPTION)?, privileged })
}
