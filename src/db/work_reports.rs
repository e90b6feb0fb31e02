//! Reports of what was done with a token: an event each, counted by the statement that writes it, so that a report costs one
//! statement and a flood of them is not kept.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{
    Tx,
    audit_events::{insert_event, with_event},
    statement::Cached,
    throttles::Bucket,
    work::OrBroken,
};
use crate::failure::Broken;

/// Writes the unit's latest event if there is room for it in the bucket. Returns how many seconds there is none; then nothing
/// is written, and nothing counted.
pub async fn insert_within(tx: &mut Tx, bucket: &Bucket) -> Result<f64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Double)]
        wait: f64,
    }
    const STATEMENT: &str = concat!(
        "WITH before AS (SELECT empty_at FROM throttles WHERE key = $15 FOR UPDATE), \
         after AS (SELECT greatest((SELECT empty_at FROM before), $2) + make_interval(secs => $16) AS empty_at), \
         over AS (SELECT empty_at, extract(epoch FROM empty_at - $2)::float8 - $17 AS wait FROM after), \
         counted AS (INSERT INTO throttles AS t (key, empty_at) SELECT $15, empty_at FROM over WHERE wait <= 0 \
             ON CONFLICT (key) DO UPDATE SET empty_at = greatest(t.empty_at, excluded.empty_at) RETURNING key), \
         events AS (",
        insert_event!("counted"),
        ") SELECT wait FROM over"
    );
    let query = with_event(tx, STATEMENT)?
        .bind::<sql::Bytea, _>(&bucket.key)
        .bind::<sql::Double, _>(bucket.step)
        .bind::<sql::Double, _>(bucket.room);
    let rows: Vec<Row> = Cached(query).load(&mut tx.conn()).await.or_broken("insert a report")?;
    Ok(rows.into_iter().next().map_or(0.0, |row| row.wait.max(0.0)))
}
