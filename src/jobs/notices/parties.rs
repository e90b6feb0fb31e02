//! Who is being called, and who let us wait the last time: what the next claim may take.
//!
//! Invariant: at least half of the slots are not taken by calls that may be long, however many parties never answer. One of
//! which nothing is known has the benefit of the doubt, for one call at a time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::db::notices::{DueNotice, Party, Room};

/// Calls at once.
pub const AT_ONCE: usize = 64;
/// Of these, how many may be doubtful.
const DOUBTFUL: usize = AT_ONCE / 2;
/// Calls at once to one party.
const EACH: usize = 8;
/// A party whose answer, whatever it was, took no longer is prompt.
const PROMPT: Duration = Duration::from_secs(1);
/// How long that is remembered.
const REMEMBERED: Duration = Duration::from_mins(5);

/// A call under way.
pub struct Call {
    pub client_id: String,
    doubtful: bool,
    begun: Instant,
}

/// The parties of this process's calls.
#[derive(Default)]
pub struct Parties {
    under_way: HashMap<String, usize>,
    doubtful: usize,
    /// How each took its last call, and when that was.
    prompt: HashMap<String, (bool, Instant)>,
}

impl Parties {
    /// What may be claimed beside `taken` slots, and what is to be known of the parties for it.
    pub fn room(&mut self, taken: usize) -> Room {
        self.prompt.retain(|_, (_, at)| at.elapsed() < REMEMBERED);
        let idle = self.prompt.keys().filter(|id| !self.under_way.contains_key(*id));
        let known = idle.chain(self.under_way.keys());
        let parties = known.map(|id| Party {
            client_id: id.clone(),
            under_way: count(self.under_way.get(id).copied().unwrap_or_default()),
            prompt: self.prompt.get(id).map(|(prompt, _)| *prompt),
        });
        Room {
            all: count(AT_ONCE.saturating_sub(taken)),
            doubtful: count(DOUBTFUL.saturating_sub(self.doubtful)),
            each: count(EACH),
            parties: parties.collect(),
        }
    }

    pub fn begin(&mut self, notice: &DueNotice) -> Call {
        let client_id = notice.client.client_id.clone();
        *self.under_way.entry(client_id.clone()).or_default() += 1;
        self.doubtful += usize::from(notice.doubtful);
        Call { client_id, doubtful: notice.doubtful, begun: Instant::now() }
    }

    /// It is over. Whether more may be claimed now than its own slot: of this party, or of the doubtful.
    pub fn end(&mut self, call: &Call) -> bool {
        let under_way = self.under_way.remove(&call.client_id).unwrap_or_default();
        if under_way > 1 {
            self.under_way.insert(call.client_id.clone(), under_way - 1);
        }
        self.doubtful = self.doubtful.saturating_sub(usize::from(call.doubtful));
        let prompt = call.begun.elapsed() <= PROMPT;
        let before = self.prompt.insert(call.client_id.clone(), (prompt, Instant::now()));
        under_way >= EACH || call.doubtful || before.is_none_or(|(before, _)| before != prompt)
    }
}

fn count(many: usize) -> i64 {
    i64::try_from(many).unwrap_or(i64::MAX)
}
