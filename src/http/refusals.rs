//! Refusals and failures in the log: who was refused, why, and what an operator can do about it.
//!
//! Anybody can cause a refusal, so the lines are counted by source and minute, and by the wider networks that an IPv6 source is
//! in. What goes over the limit is left out, and a line says how much that was.
//!
//! Invariant: nothing that a caller without credentials can do by itself is an ERROR.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use super::extract::Visit;
use crate::{
    failure::Broken,
    oauth::{Error, ErrorCode},
};

/// Lines in a minute.
struct Limit {
    from_one_source: u32,
    in_all: u32,
}

/// Where the client is not known, or has not shown that it is the client.
const STRANGERS: Limit = Limit { from_one_source: 60, in_all: 600 };
/// Where a client is known: one server may speak for many people.
const CLIENTS: Limit = Limit { from_one_source: 600, in_all: 6000 };

/// How many times the share of one source each wider network has, the narrowest first: a /56 and a /48.
const WIDER: [u32; 2] = [2, 3];

/// The longest text that is written: a value of a caller, or a sentence with one in it.
const LONGEST: usize = 256;

/// Writes a refusal. `client`: who the caller is, or says to be.
pub fn log(visit: &Visit, client: Option<&str>, refused: &Error) {
    let is_client = client.is_some() && !matches!(refused.code, ErrorCode::InvalidClient);
    if !is_admitted(visit, is_client) {
        return;
    }
    tracing::info!(
        request_id = %visit.trace.request_id,
        client = client.map(shortened),
        code = refused.code.as_str(),
        detail = refused.detail.as_deref().map(shortened),
        sent = refused.sent.as_ref().map(|(name, value)| format!("{name}={}", shortened(value))),
        description = shortened(&refused.description),
        mend = refused.mend.as_deref().map(shortened),
        "refused"
    );
}

/// Writes that a script of another origin may not read an answer: the browser says nothing of it to the server.
pub fn log_foreign_origin(visit: &Visit, client: Option<&str>, origin: &str) {
    if is_admitted(visit, false) {
        tracing::info!(
            request_id = %visit.trace.request_id,
            client = client.map(shortened),
            origin = shortened(origin),
            mend = "add the origin to the client's allowed_origins, or register a redirect URI of that origin",
            "CORS: the origin may not read this answer"
        );
    }
}

/// Writes a failure of our own. One that passes by itself, such as a server with too much to do, is no defect, and anybody
/// can bring it about.
pub fn log_broken(visit: &Visit, broken: &Broken) {
    if !broken.is_retryable() {
        tracing::error!(request_id = %visit.trace.request_id, %broken, "broken");
    } else if is_admitted(visit, true) {
        tracing::warn!(request_id = %visit.trace.request_id, %broken, "not available");
    }
}

/// The beginning of a value, in characters that every log can show.
fn shortened(value: &str) -> String {
    let mut shown: String = value.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.len() < value.len() && value.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether one more line about this caller may be written.
pub fn is_admitted(visit: &Visit, is_client: bool) -> bool {
    static LINES: LazyLock<Mutex<Lines>> = LazyLock::new(Mutex::default);
    let networks: Vec<&[u8]> = visit.trace.networks().collect();
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let left_out = lines.turn(visit.now.timestamp().div_euclid(60));
    let is_admitted = lines.admit(&networks, is_client);
    drop(lines);
    if left_out > 0 {
        tracing::warn!(left_out, "refusals were left out of the log: too many in a minute");
    }
    is_admitted
}

/// The lines of one minute.
#[derive(Default)]
struct Lines {
    minute: i64,
    strangers: Counted,
    clients: Counted,
    left_out: u64,
}

#[derive(Default)]
struct Counted {
    in_all: u32,
    by_source: HashMap<Vec<u8>, u32>,
}

impl Lines {
    /// Begins another minute, if it is a later one; then it says how many lines were left out. A request that was begun in the minute
    /// before is counted with this one.
    fn turn(&mut self, minute: i64) -> u64 {
        if minute <= self.minute {
            return 0;
        }
        std::mem::replace(self, Self { minute, ..Self::default() }).left_out
    }

    /// `networks`: the source, then the wider ones.
    fn admit(&mut self, networks: &[&[u8]], is_client: bool) -> bool {
        let (counted, limit) = if is_client { (&mut self.clients, CLIENTS) } else { (&mut self.strangers, STRANGERS) };
        let shares = std::iter::once(1).chain(WIDER).map(|share| share * limit.from_one_source);
        let is_admitted = counted.in_all < limit.in_all
            && networks
                .iter()
                .zip(shares)
                .all(|(it, most)| counted.by_source.get(*it).is_none_or(|lines| *lines < most));
        if is_admitted {
            counted.in_all += 1;
            for it in networks {
                *counted.by_source.entry(it.to_vec()).or_default() += 1;
            }
        } else {
            self.left_out += 1;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_share_of_each_minute() {
        let mut lines = Lines::default();
        let written = |lines: &mut Lines, source: &[u8], is_client| {
            (0..100_000).filter(|_| lines.admit(&[source], is_client)).count()
        };
        lines.turn(1);
        assert_eq!(written(&mut lines, b"a", false), 60);
        assert_eq!(written(&mut lines, b"b", false), 60);
        assert_eq!(written(&mut lines, b"a", true), 600, "a client is counted apart");
        assert_eq!(lines.turn(1), 0);
        assert_eq!(lines.turn(0), 0, "a request that took long");
        assert!(!lines.admit(&[b"a"], false));
        assert_eq!(lines.turn(2), 300_001 - 720);
        let many = (0..10_000_u32).filter(|n| lines.admit(&[&n.to_be_bytes()], false)).count();
        assert_eq!(many, 600);
        assert!(lines.strangers.by_source.len() <= 601, "what is counted is bounded, too");
    }

    #[test]
    fn a_wider_network_has_its_share_too() {
        let mut lines = Lines::default();
        let from = |lines: &mut Lines, source: u8| {
            let networks: [&[u8]; 3] = [&[source], b"/56", b"/48"];
            (0..60).filter(|_| lines.admit(&networks, false)).count()
        };
        let written: Vec<usize> = (0..12).map(|source| from(&mut lines, source)).collect();
        assert_eq!(written[..4], [60, 60, 0, 0]);
        assert!(lines.admit(&[b"elsewhere"], false), "others still have theirs");
    }

    #[test]
    fn values_of_callers_are_short_and_on_one_line() {
        assert_eq!(shortened("rp\n\u{1b}[31m"), "rp\u{fffd}\u{fffd}[31m");
        assert_eq!(shortened(&"ä".repeat(256)), "ä".repeat(256));
        assert_eq!(shortened(&"ä".repeat(300)), format!("{}…", "ä".repeat(256)));
    }
}
