//! When a failed delivery is tried again, and when no more.

use chrono::{DateTime, TimeDelta, Utc};

/// From the first try on: what a party's own session hardly outlives.
const PERSISTENCE: TimeDelta = TimeDelta::hours(24);
/// The longest pause, in seconds.
const LONGEST: i64 = 3600;

/// The pause after the given number of tries: doubling from a second to an hour, each scattered between half and one and
/// a half of that by `dice`, so that what failed together does not come back together.
pub(super) fn pause(attempts: i32, dice: u8) -> TimeDelta {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(12);
    let seconds = (1_i64 << doublings).min(LONGEST);
    TimeDelta::milliseconds(seconds * (500 + i64::from(dice) * 1000 / 255))
}

/// Whether to give up after a failure at `now`.
pub(super) fn is_over(created_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - created_at >= PERSISTENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_scattered() {
        let millis = |attempts, dice| pause(attempts, dice).num_milliseconds();
        assert_eq!((millis(1, 0), millis(1, 255)), (500, 1500));
        assert_eq!((millis(2, 0), millis(5, 0)), (1000, 8000));
        for attempts in [13, 100, i32::MAX] {
            assert_eq!((millis(attempts, 0), millis(attempts, 255)), (1_800_000, 5_400_000));
        }
        assert_eq!(millis(0, 0), 500);
    }

    #[test]
    fn a_day_is_enough() {
        let begun = DateTime::UNIX_EPOCH;
        assert!(!is_over(begun, begun + TimeDelta::hours(23)));
        assert!(is_over(begun, begun + TimeDelta::hours(24)));
    }
}
