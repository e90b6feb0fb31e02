//! How long sessions live.

use std::num::NonZeroU32;

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
    value::spoken,
};
use crate::failure::Stop;

static IDLE: Key<TimeDelta> = Key::or(
    "idle",
    "30m",
    "A session ends when nothing happened for this long. Requests with the cookie and refreshes count; precise to a minute.",
);
static ABSOLUTE: Key<TimeDelta> =
    Key::or("absolute", "12h", "A session ends this long after it began, whatever happens.");
static OFFLINE_ABSOLUTE: Key<TimeDelta> =
    Key::or("offline_absolute", "90d", "The same for what was granted with `offline_access`.");

static PER_PERSON: Key<NonZeroU32> = Key::or(
    "per_person",
    "100",
    "How many browser sessions a person may have at once, and how many offline ones. One more ends the one that was idle \
     longest; of the offline ones, that of the client that has most of them. What is locked is not counted.",
);

pub static SECTION: Section = Section {
    name: "sessions",
    doc: "Every code and every token lives at most as long as its session.",
    repeated: false,
    keys: || vec![&IDLE, &ABSOLUTE, &OFFLINE_ABSOLUTE, &PER_PERSON],
};

/// How long sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    pub idle: TimeDelta,
    pub absolute: TimeDelta,
    pub offline_absolute: TimeDelta,
    pub per_person: u32,
}

pub fn read(from: &Reader<'_>) -> Result<Sessions, Stop> {
    let sessions = Sessions {
        idle: from.positive(&IDLE)?,
        absolute: from.positive(&ABSOLUTE)?,
        offline_absolute: from.positive(&OFFLINE_ABSOLUTE)?,
        per_person: from.get(&PER_PERSON)?.get(),
    };
    if sessions.idle > sessions.absolute {
        let longest = spoken(sessions.absolute);
        return Err(from.wrong(&IDLE, format!("it must not be longer than sessions.absolute, which is {longest}")));
    }
    Ok(sessions)
}
