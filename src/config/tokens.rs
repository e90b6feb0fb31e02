//! How long codes and tokens live, at most: none outlives its session.

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

/// What partitions of access tokens are kept after their end.
const LONGEST_ACCESS: TimeDelta = TimeDelta::hours(12);
/// RFC 6749 §4.1.2: a maximum lifetime of 10 minutes is recommended.
const LONGEST_CODE: TimeDelta = TimeDelta::minutes(10);

static CODE: Key<TimeDelta> = Key::or("code", "60s", "An authorization code; at most 10 minutes.");
static ACCESS: Key<TimeDelta> = Key::or("access", "5m", "An access token.");
static REFRESH_GRACE: Key<TimeDelta> = Key::or(
    "refresh_grace",
    "10s",
    "A refresh that is repeated within this time gets the same successor, unless that was used already; `0s`: never.",
);

pub static SECTION: Section = Section {
    name: "tokens",
    doc: "Ends sooner when the session does.",
    repeated: false,
    keys: || vec![&CODE, &ACCESS, &REFRESH_GRACE],
};

/// How long codes and tokens live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub code: TimeDelta,
    pub access: TimeDelta,
    /// Zero: off.
    pub refresh_grace: TimeDelta,
}

pub fn read(from: &Reader<'_>) -> Result<Tokens, Stop> {
    let tokens = Tokens {
        code: from.positive(&CODE)?,
        access: from.positive(&ACCESS)?,
        refresh_grace: from.get(&REFRESH_GRACE)?,
    };
    if tokens.code > LONGEST_CODE {
        return Err(from.wrong(&CODE, "it must not be longer than 10m (RFC 6749 §4.1.2); 60s is plenty"));
    }
    if tokens.access > LONGEST_ACCESS {
        return Err(
            from.wrong(&ACCESS, "it must not be longer than 12h: the tables of tokens are cut for that; 5m is plenty")
        );
    }
    Ok(tokens)
}
