//! How long sessions live.

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

pub static SECTION: Section = Section {
    name: "sessions",
    doc: "Every code and every token lives at most as long as its session.",
    repeated: false,
    keys: || vec![&IDLE, &ABSOLUTE, &OFFLINE_ABSOLUTE],
};

/// How long sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    pub idle: TimeDelta,
    pub absolute: TimeDelta,
    pub offline_absolute: TimeDelta,
}

pub fn read(from: &Reader<'_>) -> Result<Sessions, Stop> {
    let sessions = Sessions {
        idle: from.positive(&IDLE)?,
        absolute: from.positive(&ABSOLUTE)?,
        offline_absolute: from.positive(&OFFLINE_ABSOLUTE)?,
    };
    if sessions.idle > sessions.absolute {
        let longest = spoken(sessions.absolute);
        return Err(from.wrong(&IDLE, format!("it must not be longer than sessions.absolute, which is {longest}")));
    }
    Ok(sessions)
}
