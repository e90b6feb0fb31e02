//! Privileged sessions: the short ones that a step-up begins.

use std::num::NonZeroU32;

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

/// The longest that privileged work may pause.
const LONGEST_IDLE: TimeDelta = TimeDelta::minutes(15);

static IDLE: Key<TimeDelta> = Key::or(
    "idle",
    "15m",
    "A privileged session ends when none of its tokens was used for this long; at most 15m. Introspection of its tokens and \
     refreshes count.",
);
static PER_PERSON: Key<NonZeroU32> =
    Key::or("per_person", "1", "How many privileged sessions a person may have at once, each in a browser of its own.");

pub static SECTION: Section = Section {
    name: "privileged",
    doc: "What a step-up begins. How long it lives and what it takes is said of each scope, in `[[scope]]`.",
    repeated: false,
    keys: || vec![&IDLE, &PER_PERSON],
};

/// The bounds of privileged sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivilegedSessions {
    pub idle: TimeDelta,
    pub per_person: u32,
}

pub fn read(from: &Reader<'_>) -> Result<PrivilegedSessions, Stop> {
    let idle = from.positive(&IDLE)?;
    if idle > LONGEST_IDLE {
        return Err(from.wrong(&IDLE, "privileged work must not pause for longer than 15m"));
    }
    Ok(PrivilegedSessions { idle, per_person: from.get(&PER_PERSON)?.get() })
}
