//! What the log says of refused and throttled attempts: enough to see an attack and to feed a firewall, and no flood.
//!
//! A source is named by its network in coarse form, or by its whole address where the operator chose so (`[log] sources`).

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{db::Trace, metrics};

/// How long a source stays quiet in the log after a warning.
const PAUSE: TimeDelta = TimeDelta::minutes(1);
/// How many sources are remembered at once. An attack from more of them is one line for all others.
const SOURCES: usize = 1000;

/// How somebody tried to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Password,
    SecondFactor,
    Passkey,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::SecondFactor => "second_factor",
            Self::Passkey => "passkey",
        }
    }
}

/// A sign-in succeeded.
pub fn signed_in(method: Method) {
    metrics::sign_in(method.as_str(), "done");
}

/// A sign-in was refused for this reason: counted and logged.
pub fn refused(method: Method, trace: &Trace, reason: &'static str) {
    let method = method.as_str();
    metrics::sign_in(method, "refused");
    let source = trace.shown_source();
    tracing::info!(request_id = %trace.request_id, method, reason, source, "a sign-in was refused");
}

/// A sign-in was refused: counted alone, where the log has no room for it.
pub fn refused_unlogged(method: Method) {
    metrics::sign_in(method.as_str(), "refused");
}

/// A sign-in was not looked at, for there were too many. Whoever counted it has warned of its source.
pub fn throttled(method: Method) {
    metrics::sign_in(method.as_str(), "throttled");
}

/// Warns of the trace's source, which had an attempt throttled: once a minute for each source.
pub(super) fn source_throttled(attempt: &'static str, trace: &Trace, now: DateTime<Utc>) {
    static SEEN: LazyLock<Throttled> = LazyLock::new(Throttled::default);
    let Some(before) = SEEN.due(trace.source_hash.clone().unwrap_or_default(), now) else { return };
    let source = trace.shown_source();
    let hint = "`mooring audit export --action sign_in --like-source EVENT` prints what came from there";
    tracing::warn!(attempt, source, refused_since_last_warning = before, hint, "a source is throttled");
}

/// The sources that were warned of in the last minute.
#[derive(Debug, Default)]
struct Throttled(Mutex<HashMap<Vec<u8>, Quiet>>);

/// Since when a source has been quiet in the log, and what it was refused meanwhile.
#[derive(Debug)]
struct Quiet {
    since: DateTime<Utc>,
    refused: u64,
}

impl Throttled {
    /// Whether a warning is due, and how many attempts were refused since the last one.
    fn due(&self, source: Vec<u8>, now: DateTime<Utc>) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SOURCES && !known.contains_key(&source) {
            known.retain(|_, quiet| now - quiet.since < PAUSE);
            if known.len() >= SOURCES {
                // The empty name stands for all sources beyond those that are remembered.
                return Self::count(known.entry(Vec::new()), now);
            }
        }
        Self::count(known.entry(source), now)
    }

    fn count(entry: std::collections::hash_map::Entry<'_, Vec<u8>, Quiet>, now: DateTime<Utc>) -> Option<u64> {
        use std::collections::hash_map::Entry;
        match entry {
            Entry::Vacant(vacant) => {
                vacant.insert(Quiet { since: now, refused: 0 });
                Some(0)
            }
            Entry::Occupied(mut quiet) if now - quiet.get().since >= PAUSE => {
                let before = quiet.get().refused;
                quiet.insert(Quiet { since: now, refused: 0 });
                Some(before)
            }
            Entry::Occupied(mut quiet) => {
                quiet.get_mut().refused += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_warned_of_once_a_minute() {
        let throttled = Throttled::default();
        let start = DateTime::UNIX_EPOCH;
        let due = |source: &[u8], seconds| throttled.due(source.to_vec(), start + TimeDelta::seconds(seconds));
        assert_eq!(due(b"a", 0), Some(0));
        assert_eq!((due(b"a", 1), due(b"a", 59)), (None, None));
        assert_eq!(due(b"b", 59), Some(0));
        assert_eq!(due(b"a", 60), Some(2));
        assert_eq!(due(b"a", 120), Some(0));
    }

    #[test]
    fn many_sources_are_one_line() {
        let throttled = Throttled::default();
        let now = DateTime::UNIX_EPOCH;
        let lines = (0..5000_u32).filter(|source| throttled.due(source.to_be_bytes().to_vec(), now).is_some()).count();
        assert_eq!(lines, SOURCES + 1);
        assert_eq!(throttled.due(b"new".to_vec(), now + PAUSE), Some(0), "old ones are forgotten");
        assert!(throttled.0.lock().unwrap().len() <= SOURCES + 1);
    }
}
