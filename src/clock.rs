//! The only reader of the system clock. Everything else is told what time it is: one instant per request.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A source of instants, rounded to microseconds, which is what PostgreSQL keeps.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds added to the system's time: tests move it to see things expire.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The instant at which whatever is being done happens.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now() + TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed));
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Moves this clock, and every clone of it, forward.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}
