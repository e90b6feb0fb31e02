//! Who sits at the demo application: its own cookie sessions, in memory, gone when the demo stops.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use super::{
    challenge::StepUp,
    openid::{Asked, Tokens},
};
use crate::{
    http::render::views::{DemoApiResult, Person},
    jose::{base64url, constant_time_eq, random_bytes},
};

/// More browsers than a demo has; the oldest seat is given away.
const SEATS: usize = 256;
/// Sign-ins that one browser may have begun and not finished, in as many tabs.
const BEGUN: usize = 8;

/// What is known of one browser.
#[derive(Clone)]
pub struct Seat {
    id: String,
    /// In every form.
    pub csrf: String,
    begun: VecDeque<Asked>,
    pub held: Option<Held>,
    /// Shown once.
    pub note: Option<Note>,
}

/// What a browser is told at its next look.
#[derive(Clone)]
pub enum Note {
    Done(String),
    Refused(String),
}

impl Note {
    /// What was done, which a page shows in green, and what was refused, which it shows as an alert.
    pub fn told_apart(note: Option<Self>) -> (Option<String>, Option<String>) {
        match note {
            Some(Self::Done(text)) => (Some(text), None),
            Some(Self::Refused(text)) => (None, Some(text)),
            None => (None, None),
        }
    }
}

/// What a signed-in browser holds here.
#[derive(Clone)]
pub struct Held {
    pub tokens: Tokens,
    pub person: Person,
    /// Shown once.
    pub api_result: Option<DemoApiResult>,
    /// What the API asked for when the tokens were last not enough.
    pub step_up: Option<StepUp>,
}

/// All of them.
#[derive(Default)]
pub struct Seats(Mutex<VecDeque<Seat>>);

impl Seats {
    /// Takes a new seat, under a name that nobody knew before, and gives the name.
    pub fn take(&self, held: Option<Held>) -> String {
        let [id, csrf] = [0; 2].map(|_| base64url(&random_bytes::<32>()));
        let seat = Seat { id: id.clone(), csrf, begun: VecDeque::new(), held, note: None };
        self.all(|seats| {
            seats.truncate(SEATS - 1);
            seats.push_front(seat);
        });
        id
    }

    pub fn leave(&self, id: &str) {
        self.all(|seats| seats.retain(|seat| seat.id != id));
    }

    /// Looks at a seat or changes it; nothing where there is none of this name.
    pub fn with<T>(&self, id: &str, act: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        self.all(|seats| seats.iter_mut().find(|seat| constant_time_eq(seat.id.as_bytes(), id.as_bytes())).map(act))
    }

    fn all<T>(&self, act: impl FnOnce(&mut VecDeque<Seat>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seat {
    pub fn remember(&mut self, asked: Asked) {
        self.begun.truncate(BEGUN - 1);
        self.begun.push_front(asked);
    }

    /// The sign-in that an answer belongs to, by its state. It is forgotten: an answer counts once.
    pub fn recall(&mut self, state: &str) -> Option<Asked> {
        let place = self.begun.iter().position(|asked| constant_time_eq(asked.state.as_bytes(), state.as_bytes()))?;
        self.begun.remove(place)
    }
}
