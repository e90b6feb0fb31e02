//! Reports of what was done with a token: an event each, counted by the statement that writes it, so that a report costs one
//! statement and a flood of them is not kept.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{
    Tx,
    audit_events::{insert_event, with_event},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// Writes the unit's latest event if it fits into the leaky bucket `key`, which holds `size` and loses `leak` a second.
/// Returns by how much it did not fit; then nothing is written, and nothing counted.
pub async fn insert_within(tx: &mut Tx, key: &[u8], size: f64, leak: f64) -> Result<f64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Double)]
        level: f64,
    }
    const STATEMENT: &str = concat!(
        "WITH before AS (SELECT greatest(0, level - $17 * greatest(0, extract(epoch FROM $2 - updated_at)::float8)) AS level \
             FROM throttles WHERE key = $15 FOR UPDATE), \
         after AS (SELECT 1 + coalesce((SELECT level FROM before), 0) AS level), \
         counted AS (INSERT INTO throttles AS t (key, level, updated_at) SELECT $15, level, $2 FROM after \
             WHERE level <= $16 ON CONFLICT (key) DO UPDATE SET level = excluded.level, \
             updated_at = greatest(t.updated_at, excluded.updated_at) RETURNING key), \
         events AS (",
        insert_event!("counted"),
        ") SELECT level FROM after"
    );
    let query =
        with_event(tx, STATEMENT)?.bind::<sql::Bytea, _>(key).bind::<sql::Double, _>(size).bind::<sql::Double, _>(leak);
    let rows: Vec<Row> = Cached(query).load(&mut tx.conn()).await.or_broken("insert a report")?;
    let level = rows.into_iter().next().map_or(0.0, |row| row.level);
    Ok((level - size).max(0.0))
}
