//! `used_jtis`: client assertions are good once (RFC 7523 §3, item 7), and so are the answers of passkeys to questions that were
//! not stored.
//!
//! Uniqueness across partitions needs the partition's key in it, which is time. So a use is written down for the window of time
//! that it falls in and for the next: any two uses less than a window apart meet in one of them, whatever their `exp`.

use chrono::{DateTime, Utc};
use diesel::sql_types as sql;
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::{
    failure::Broken,
    jose::{MAX_ASSERTION_LIFETIME_SECONDS, SKEW_SECONDS},
};

/// How long a window is. Partitions reach three hours ahead, so two windows fit into them.
const WINDOW_SECONDS: i64 = 3660;
// No assertion is accepted for longer.
const _: () = assert!(WINDOW_SECONDS >= MAX_ASSERTION_LIFETIME_SECONDS + 2 * SKEW_SECONDS);

/// The window of the version before, which takes assertions for five minutes. A replica of it may run beside this one, so both
/// write both; the next release leaves this out.
const SHORT_WINDOW_SECONDS: i64 = 360;

/// In place of a client, where it is the hash of a question for a passkey.
pub const NO_CLIENT: &str = "";

/// Consumes the `jti`; `false` when it was used before.
pub async fn consume(tx: &mut Tx, client_id: &str, jti_hash: &[u8]) -> Result<bool, Broken> {
    let windows = windows(tx.now);
    let inserted = Cached(
        diesel::sql_query(
            "INSERT INTO used_jtis (expires_at, client_id, jti_hash) SELECT unnest($1), $2, $3 ON CONFLICT DO NOTHING",
        )
        .bind::<sql::Array<sql::Timestamptz>, _>(&windows)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Bytea, _>(jti_hash),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use assertion")?;
    Ok(inserted == windows.len())
}

/// The ends of this window and of the next, of either length; each once, where they coincide.
fn windows(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let ends = |length: i64| [1, 2].map(|ahead| (now.timestamp().div_euclid(length) + ahead) * length);
    let mut ends = [ends(SHORT_WINDOW_SECONDS), ends(WINDOW_SECONDS)].concat();
    ends.sort_unstable();
    ends.dedup();
    ends.into_iter().map(|end| DateTime::from_timestamp(end, 0).unwrap_or(now)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_uses_that_one_assertion_could_make_meet() {
        let at = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        for first in (0..WINDOW_SECONDS).step_by(7) {
            let used = windows(at(first));
            assert!(used[0] > at(first) && used.len() >= 3, "{first}");
            for apart in [0, 1, 59, 300, 320, SHORT_WINDOW_SECONDS, 3600, 3620, WINDOW_SECONDS] {
                let again = windows(at(first + apart));
                assert!(again.iter().any(|window| used.contains(window)), "{first} and {apart} later");
            }
        }
    }

    #[test]
    fn the_version_before_finds_a_use_in_its_windows() {
        let now = DateTime::from_timestamp(1_800_000_123, 0).unwrap();
        for ahead in [1, 2] {
            let end = (now.timestamp().div_euclid(360) + ahead) * 360;
            assert!(windows(now).contains(&DateTime::from_timestamp(end, 0).unwrap()));
        }
    }
}
