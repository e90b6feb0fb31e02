//! Identifiers: UUIDv7 of the unit of work's instant, never of the system clock.

use chrono::{DateTime, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// A new UUIDv7 (RFC 9562 §5.7) whose time is `now`: 74 of its bits are random.
pub fn new_id(now: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos()))
}

/// The id of an event: within its millisecond in the order of the microsecond, and then of the `sequence` in which one unit of
/// work told them, as far as there is room (RFC 9562 §6.2, methods 3 and 1): a story is read in the order in which it
/// happened.
pub fn event_id(now: DateTime<Utc>, sequence: usize) -> Uuid {
    const RAND_A: u128 = 0xFFF << 64;
    let within = u128::from(now.timestamp_subsec_micros() % 1000) * 4 + sequence.min(3) as u128;
    Uuid::from_u128((new_id(now).as_u128() & !RAND_A) | (within << 64))
}

/// The smallest UUID of an instant: what is read in order from a time on begins here.
pub fn floor(at: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

/// The instant of a UUIDv7; `None` for another identifier.
pub fn instant(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_in_the_order_in_which_they_were_told() {
        let at = DateTime::from_timestamp(1_800_000_000, 123_456_000).unwrap();
        let later = DateTime::from_timestamp(1_800_000_000, 123_457_000).unwrap();
        let told: Vec<Uuid> = [(at, 0), (at, 1), (at, 2), (at, 3), (later, 0), (later, 1)]
            .into_iter()
            .map(|(at, sequence)| event_id(at, sequence))
            .collect();
        assert!(told.is_sorted() && told.iter().all(|id| *id > floor(at)));
        assert_eq!((told[0].get_version_num(), told[0].get_variant()), (7, uuid::Variant::RFC4122));
        assert_ne!(event_id(at, 9), event_id(at, 9));
    }
}
