//! `throttles`: leaky buckets of failures, so that guessing is slow on every replica at once.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

#[derive(QueryableByName)]
struct Level {
    #[diesel(sql_type = sql::Double)]
    level: f64,
}

/// Adds one to each bucket and returns the levels after it: counting before the work is done is what holds against
/// attempts made at once. `keys` must be in order.
pub async fn add(tx: &mut Tx, keys: &[Vec<u8>], leak: &[f64]) -> Result<Vec<f64>, Broken> {
    let now = tx.now;
    let mut levels = Vec::with_capacity(keys.len());
    for (key, leak) in keys.iter().zip(leak) {
        let rows: Vec<Level> = Cached(
            diesel::sql_query(
                "INSERT INTO throttles AS t (key, level, updated_at) VALUES ($1, 1, $3) ON CONFLICT (key) DO UPDATE SET \
                 level = 1 + greatest(0, t.level - $2 * greatest(0, extract(epoch FROM $3 - t.updated_at)::float8)), \
                 updated_at = greatest(t.updated_at, $3) RETURNING level",
            )
            .bind::<sql::Bytea, _>(key)
            .bind::<sql::Double, _>(leak)
            .bind::<sql::Timestamptz, _>(now),
        )
        .load(&mut tx.conn())
        .await
        .or_broken("count in throttles")?;
        levels.push(rows.into_iter().next().map_or(0.0, |row| row.level));
    }
    Ok(levels)
}

/// Takes one out of each bucket again: the attempt was genuine. Rows are locked in the order of their keys, here and in
/// [`add`], so that attempts made at once never wait for one another in a circle.
pub async fn forgive(tx: &mut Tx, keys: &[Vec<u8>]) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(
            "WITH k AS (SELECT key FROM throttles WHERE key = ANY ($1) ORDER BY key FOR UPDATE) \
             UPDATE throttles t SET level = greatest(0, t.level - 1) FROM k WHERE t.key = k.key",
        )
        .bind::<sql::Array<sql::Bytea>, _>(keys),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("forgive in throttles")?;
    Ok(())
}

/// Removes buckets that have been empty for a day.
pub async fn sweep(tx: &mut Tx) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query("DELETE FROM throttles WHERE updated_at < $1 - interval '1 day'")
            .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep throttles")
}
