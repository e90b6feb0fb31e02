//! Whose password is checked next: turns, taken fairly among sources and accounts.
//!
//! Hashing is dear, so only so many are under way and the others wait. In a plain queue whoever sends most waits least. Here each
//! source and each account has its own place in time (start-time fair queueing): one more from a source that has many waiting
//! goes behind the first of every other, and nobody waits for ever. A browser that the person is known by is a source and an account of its own. Invariant: a
//! caller that goes away while it waits leaves nothing behind.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::failure::Broken;

/// Who asks for a turn: the groups with which they share one place.
#[derive(Clone, Debug)]
pub struct Caller {
    groups: Vec<Vec<u8>>,
    is_known: bool,
}

impl Caller {
    /// Somebody at a source, for an account.
    #[must_use]
    pub fn stranger(source: &[u8], account: &str) -> Self {
        Self { groups: vec![[b"source", source].concat(), [b"account", account.as_bytes()].concat()], is_known: false }
    }

    /// A browser that the person has signed in with before.
    #[must_use]
    pub fn known(device: &[u8]) -> Self {
        Self { groups: vec![[b"device", device].concat()], is_known: true }
    }
}

/// A place among those that wait; the first goes first. The known ones go before the others of their time.
type Place = (u64, bool, u64);

#[derive(Default)]
struct State {
    running: usize,
    /// The time that is served now.
    time: u64,
    /// The time of each group's next one.
    groups: HashMap<Vec<u8>, u64>,
    waiting: BTreeMap<Place, oneshot::Sender<Turn>>,
    arrived: u64,
    served: u64,
}

/// After so many turns time goes on in any case: sources that are always new do not overtake a crowd for ever.
const A_WHILE: u64 = 32;

/// Turns for so many at once, with so many waiting.
pub struct Turns {
    state: Mutex<State>,
    at_once: usize,
    most_waiting: usize,
}

/// Somebody's turn, until it is dropped.
pub struct Turn(Option<Arc<Turns>>);

impl Turns {
    #[must_use]
    pub fn new(at_once: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), at_once, most_waiting })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. Where too many wait, the one that would be last is sent away.
    pub async fn take(self: &Arc<Self>, caller: Caller) -> Result<Turn, Broken> {
        let full = || Broken::unavailable("too many passwords are being checked");
        let (place, turn) = {
            let mut state = self.state();
            let place = state.place(caller);
            if state.running < self.at_once {
                state.running += 1;
                state.time = state.time.max(place.0);
                return Ok(Turn(Some(self.clone())));
            }
            if state.waiting.len() >= self.most_waiting {
                match state.waiting.last_key_value() {
                    // Its sender is dropped, and it is told so.
                    Some((last, _)) if place < *last => drop(state.waiting.pop_last()),
                    _ => return Err(full()),
                }
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.insert(place, sender);
            (place, turn)
        };
        let _leave = Leave { turns: self, place };
        turn.await.map_err(|_| full())
    }

    /// Passes a turn on; or nobody waits.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(next) = state.next() else {
                state.running -= 1;
                return;
            };
            drop(state);
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Gone meanwhile: the turn is the next one's.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (place, next) = self.waiting.pop_first()?;
        self.served += 1;
        self.time = self.time.max(place.0) + u64::from(self.served.is_multiple_of(A_WHILE));
        Some(next)
    }

    fn place(&mut self, caller: Caller) -> Place {
        // What is in the past says nothing any more.
        if self.groups.len() > 4 * self.waiting.len() + 64 {
            let time = self.time;
            self.groups.retain(|_, next| *next > time);
        }
        let next = caller.groups.iter().filter_map(|group| self.groups.get(group)).max();
        let time = next.copied().unwrap_or_default().max(self.time);
        for group in caller.groups {
            self.groups.insert(group, time + 1);
        }
        self.arrived += 1;
        (time, !caller.is_known, self.arrived)
    }
}

/// Gives up the place of a caller that goes away.
struct Leave<'a> {
    turns: &'a Turns,
    place: Place,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.turns.state().waiting.remove(&self.place);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::task::JoinHandle;

    use super::*;

    /// Waits for a turn and says, when it comes, how many had one before.
    fn wait(turns: &Arc<Turns>, served: &Arc<AtomicUsize>, caller: Caller) -> JoinHandle<Option<usize>> {
        let (turns, served) = (turns.clone(), served.clone());
        tokio::spawn(async move {
            let _turn = turns.take(caller).await.ok()?;
            Some(served.fetch_add(1, Ordering::SeqCst))
        })
    }

    async fn settle() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    #[tokio::test]
    async fn a_flood_of_one_source_goes_behind_everybody_else() {
        let turns = Turns::new(1, 200);
        let served = Arc::default();
        let held = turns.take(Caller::stranger(b"x", "x")).await.unwrap();
        let flood: Vec<_> =
            (0..160).map(|n| wait(&turns, &served, Caller::stranger(b"flood", &format!("name{n}")))).collect();
        settle().await;
        let good: Vec<_> =
            (0..12).map(|n: u8| wait(&turns, &served, Caller::stranger(&[n], &format!("person{n}")))).collect();
        settle().await;
        drop(held);
        for one in good {
            assert!(one.await.unwrap().unwrap() <= 13);
        }
        for one in flood {
            assert!(one.await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_flood_at_one_account_goes_behind_everybody_else() {
        let turns = Turns::new(1, 100);
        let served = Arc::default();
        let held = turns.take(Caller::stranger(b"x", "x")).await.unwrap();
        // More than may wait: the last of them are sent away, and make room.
        let flood: Vec<_> = (0..160_u8).map(|n| wait(&turns, &served, Caller::stranger(&[1, n], "alice"))).collect();
        settle().await;
        let known = wait(&turns, &served, Caller::known(b"alice's laptop"));
        let other = wait(&turns, &served, Caller::stranger(b"office", "bob"));
        settle().await;
        drop(held);
        assert!(known.await.unwrap().unwrap() <= 1);
        assert!(other.await.unwrap().unwrap() <= 2);
        let mut through = 0;
        for one in flood {
            through += usize::from(one.await.unwrap().is_some());
        }
        assert_eq!(through, 98);
    }

    #[test]
    fn a_crowd_is_not_overtaken_for_ever() {
        let mut state = State::default();
        let mut crowd = Vec::new();
        for n in 0..5 {
            let (sender, turn) = oneshot::channel();
            let place = state.place(Caller::stranger(b"office", &format!("person{n}")));
            state.waiting.insert(place, sender);
            crowd.push(turn);
        }
        let mut turns = 0_u64;
        // Who has come to their turn finds nobody that passes one on.
        while crowd.iter_mut().any(|one| matches!(one.try_recv(), Err(oneshot::error::TryRecvError::Empty))) {
            turns += 1;
            let place = state.place(Caller::stranger(&turns.to_be_bytes(), &format!("name{turns}")));
            state.waiting.insert(place, oneshot::channel().0);
            drop(state.next());
        }
        assert!((5..=6 * A_WHILE).contains(&turns), "{turns}");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let turns = Turns::new(2, 10);
        let served = Arc::default();
        let held = [turns.take(Caller::known(b"1")).await.unwrap(), turns.take(Caller::known(b"2")).await.unwrap()];
        let gone = wait(&turns, &served, Caller::stranger(b"a", "a"));
        settle().await;
        gone.abort();
        settle().await;
        assert!(turns.state().waiting.is_empty());
        drop(held);
        assert_eq!(turns.state().running, 0);
        let again = [turns.take(Caller::known(b"1")).await.unwrap(), turns.take(Caller::known(b"2")).await.unwrap()];
        assert_eq!(turns.state().running, 2);
        drop(again);
    }
}
