//! Declared scopes, and what the privileged ones demand.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::TimeDelta;

use super::{
    access::{self, Access},
    builtin::{HUB_PREFIX, HUB_SCOPES},
    given::Reader,
    key::{Described, Key, Section},
    value::Word,
};
use crate::{
    failure::Stop,
    oauth::{Acr, client_metadata::is_scope_token, scope::STANDARD_SCOPES},
};

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

impl StepUpAcr {
    /// The class that it names.
    #[must_use]
    pub fn class(self) -> Acr {
        match self {
            Self::Phr => Acr::Phr,
            Self::Phrh => Acr::Phrh,
            Self::Mfa => Acr::Mfa,
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
static BREAK_GLASS: Key<bool> = Key::or(
    "break_glass",
    "false",
    "With `four_eyes`: in an emergency it can be had alone; every administrator is told, and somebody has to review it.",
);

pub static SECTION: Section = Section {
    name: "scope",
    doc: "A scope of one's own. Everything but its name and description is for privileged ones. Those of the Identity Hub \
          (`hub:elevations`, `hub:sessions`) are there without being declared, for administrators; declared, they can \
          demand more, or `groups` instead.",
    repeated: true,
    keys: || {
        let own: [&dyn Described; 8] =
            [&NAME, &DESCRIPTION, &PRIVILEGED, &ACR, &MAX_AGE, &DURATION, &APPROVAL, &BREAK_GLASS];
        own.into_iter().chain(access::keys()).collect()
    },
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
    /// Whether whoever asks can go on without the second person.
    pub break_glass: bool,
    pub access: Access,
}

/// The declared scopes, and the names of those that are withdrawn.
///
/// What a scope demands is said by the configuration alone. A privileged one that is not in it any more (removed, misspelt,
/// or the file of this replica is older than that of another) is not therefore an ordinary one: the database remembers it,
/// and it is withdrawn here. Nobody is given it, by no grant, until it is declared again.
#[derive(Clone, Debug)]
pub struct Scopes {
    declared: Vec<Scope>,
    /// Learnt from the database, at the start and from time to time; clones share it.
    withdrawn: Arc<RwLock<BTreeSet<String>>>,
}

impl Scopes {
    #[must_use]
    pub fn new(declared: Vec<Scope>) -> Self {
        Self { declared, withdrawn: Arc::default() }
    }

    /// Declares one more, in place of another of its name.
    pub fn declare(&mut self, scope: Scope) {
        self.declared.retain(|other| other.name != scope.name);
        self.declared.push(scope);
    }

    /// The declared scope of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Scope> {
        self.iter().find(|scope| scope.name == name)
    }

    /// Withdraws those of these privileged scopes that are not declared, and no others. Returns the ones that were not
    /// withdrawn before.
    pub fn withdraw(&self, privileged: impl IntoIterator<Item = String>) -> Vec<String> {
        let missing: BTreeSet<String> = privileged.into_iter().filter(|name| self.find(name).is_none()).collect();
        let mut withdrawn = self.withdrawn.write().unwrap_or_else(PoisonError::into_inner);
        let new = missing.difference(&withdrawn).cloned().collect();
        *withdrawn = missing;
        new
    }

    #[must_use]
    pub fn is_withdrawn(&self, name: &str) -> bool {
        self.withdrawn.read().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// Whether it is declared privileged, or was.
    #[must_use]
    pub fn is_privileged(&self, name: &str) -> bool {
        self.find(name).map_or_else(|| self.is_withdrawn(name), |scope| scope.privileged.is_some())
    }
}

impl Deref for Scopes {
    type Target = [Scope];

    fn deref(&self) -> &[Scope] {
        &self.declared
    }
}

pub fn read(rows: &[Reader<'_>]) -> Result<Scopes, Stop> {
    let mut scopes: Vec<Scope> = Vec::with_capacity(rows.len());
    for from in rows {
        let scope = one(from)?;
        if scopes.iter().any(|other| other.name == scope.name) {
            return Err(from.wrong(&NAME, "another [[scope]] above has this name: keep one of them"));
        }
        scopes.push(scope);
    }
    for (name, description) in HUB_SCOPES {
        if !scopes.iter().any(|scope| scope.name == name) {
            scopes.push(of_the_hub(name, description));
        }
    }
    Ok(Scopes::new(scopes))
}

/// A scope of the Identity Hub that was not declared.
fn of_the_hub(name: &str, description: &str) -> Scope {
    let privileged = Privileged {
        acr: StepUpAcr::Phr,
        max_age: TimeDelta::minutes(5),
        duration: TimeDelta::minutes(15),
        approval: Approval::None,
        break_glass: false,
        access: Access { administrators: true, ..Access::default() },
    };
    Scope { name: name.to_owned(), description: Some(description.to_owned()), privileged: Some(privileged) }
}

/// Who uses the Identity Hub decides about others: its scopes are somebody's, and need nobody's approval, which could
/// only be given with them.
fn check_hub(from: &Reader<'_>, scope: &Scope) -> Result<(), Stop> {
    if !HUB_SCOPES.iter().any(|(name, _)| *name == scope.name) {
        return Err(from.wrong(&NAME, "names that begin with hub: are the Identity Hub's own"));
    }
    let Some(demands) = &scope.privileged else {
        return Err(from.wrong_entry(
            PRIVILEGED.name,
            false,
            "this scope of the Identity Hub is privileged: say privileged = true",
        ));
    };
    if !demands.access.administrators && demands.access.groups.is_empty() {
        return Err(from.missing("groups", "or administrators = true: who may use the Identity Hub"));
    }
    if demands.approval != Approval::None {
        return Err(from.wrong(&APPROVAL, "an approval could only be given with this scope: leave it out"));
    }
    Ok(())
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
    // OIDC Core §5.5: what such a scope tells can be asked for with `claims`, and without it.
    if privileged && STANDARD_SCOPES.iter().any(|standard| standard.name == name) {
        return Err(from.wrong(
            &PRIVILEGED,
            format!("what {name} tells can be asked for without it, claim by claim: declare a scope of your own"),
        ));
    }
    let privileged = if privileged {
        let (approval, break_glass) = (from.get(&APPROVAL)?, from.get(&BREAK_GLASS)?);
        if break_glass && approval == Approval::None {
            return Err(
                from.wrong(&BREAK_GLASS, "there is no second person to do without: it is for approval = \"four_eyes\"")
            );
        }
        Some(Privileged {
            acr: from.get(&ACR)?,
            max_age: from.positive(&MAX_AGE)?,
            duration: from.positive(&DURATION)?,
            approval,
            break_glass,
            access: access::read(from)?,
        })
    } else {
        // Without effect they would be read as a protection that is not there.
        let of_all = [NAME.name, DESCRIPTION.name, PRIVILEGED.name];
        if let Some((key, _)) = from.entries().find(|(key, _)| !of_all.contains(&key.as_str())) {
            return Err(from.wrong_entry(
                key,
                false,
                "it is for privileged scopes only: add privileged = true, or leave it out",
            ));
        }
        None
    };
    let scope = Scope { name, description: from.find(&DESCRIPTION)?, privileged };
    if scope.name.starts_with(HUB_PREFIX) {
        check_hub(from, &scope)?;
    }
    Ok(scope)
}
