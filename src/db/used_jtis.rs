//! `used_jtis`: client assertions are good once (RFC 7523 §3, item 7).
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

/// How long a window is.
const WINDOW_SECONDS: i64 = 360;
// No assertion is accepted for longer.
const _: () = assert!(WINDOW_SECONDS >= MAX_ASSERTION_LIFETIME_SECONDS + 2 * SKEW_SECONDS);

/// Takes the `jti`; `false` when it was used before.
pub async fn consume(tx: &mut Tx, client_id: &str, jti_hash: &[u8]) -> Result<bool, Broken> {
    let [this, next] = windows(tx.now);
    let inserted = Cached(
        diesel::sql_query(
            "INSERT INTO used_jtis (expires_at, client_id, jti_hash) VALUES ($1, $3, $4), ($2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind::<sql::Timestamptz, _>(this)
        .bind::<sql::Timestamptz, _>(next)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Bytea, _>(jti_hash),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use assertion")?;
    Ok(inserted == 2)
}

/// The ends of this window and of the next.
fn windows(now: DateTime<Utc>) -> [DateTime<Utc>; 2] {
    [1, 2].map(|ahead| {
        let end = (now.timestamp().div_euclid(WINDOW_SECONDS) + ahead) * WINDOW_SECONDS;
        DateTime::from_timestamp(end, 0).unwrap_or(now)
    })
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn two_uses_that_one_assertion_could_make_meet() {
        let at = |seconds| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        for first in 0..WINDOW_SECONDS {
            let used = windows(at(first));
            assert!(used[0] > at(first) && used[1] - used[0] == TimeDelta::seconds(WINDOW_SECONDS));
            for apart in [0, 1, 59, 300, 320, WINDOW_SECONDS] {
                let again = windows(at(first + apart));
                assert!(again.iter().any(|window| used.contains(window)), "{first} and {apart} later");
            }
        }
    }
}
