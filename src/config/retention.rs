//! How long what happened is kept.

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

/// The database keeps younger events whoever asks.
const SHORTEST_EVENTS: TimeDelta = TimeDelta::days(7);

static VISITOR: Key<TimeDelta> =
    Key::or("visitor", "90d", "Audit events of visitors who did not sign in; at least 7 days.");
static USER: Key<TimeDelta> = Key::or(
    "user",
    "400d",
    "Audit events of sign-ins: of user, offline, device and service sessions; at least 7 days.",
);
static PRIVILEGED: Key<TimeDelta> = Key::or(
    "privileged",
    "7y",
    "Audit events of privileged work and of the server itself, such as what operators did; at least 7 days.",
);
static SESSIONS: Key<TimeDelta> = Key::or(
    "sessions",
    "30d",
    "A session after its end, for lists and for its timeline; of a visitor who did not sign in at most a day. It stays while \
     something refers to it, such as offline access that came of it.",
);
static GRANTS: Key<TimeDelta> = Key::or(
    "grants",
    "7d",
    "The grants of a session after its end: until then the replay of an old refresh token is recognized and logged.",
);

pub static SECTION: Section = Section {
    name: "retention",
    doc: "What is removed, and when. Audit events are removed by class.",
    repeated: false,
    keys: || vec![&VISITOR, &USER, &PRIVILEGED, &SESSIONS, &GRANTS],
};

/// How long what happened is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub visitor: TimeDelta,
    pub user: TimeDelta,
    pub privileged: TimeDelta,
    pub sessions: TimeDelta,
    pub grants: TimeDelta,
}

pub fn read(from: &Reader<'_>) -> Result<Retention, Stop> {
    let events = |key: &'static Key<TimeDelta>| {
        let kept = from.get(key)?;
        if kept < SHORTEST_EVENTS {
            return Err(from.wrong(key, "it must be at least 7d: the database keeps younger events whoever asks"));
        }
        Ok(kept)
    };
    Ok(Retention {
        visitor: events(&VISITOR)?,
        user: events(&USER)?,
        privileged: events(&PRIVILEGED)?,
        sessions: from.get(&SESSIONS)?,
        grants: from.get(&GRANTS)?,
    })
}
