//! Audit events that were kept for long enough, removed by functions that run as the schema's owner: the server's role can
//! delete none, and the functions none that is younger than seven days.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Removes events of a class (`visitor`, `user` or `privileged`) from before an instant. Returns how many events of whatever class
/// it looked at, at most `limit`; each is looked at once.
pub async fn remove(tx: &mut Tx, class: &str, before: DateTime<Utc>, limit: i32) -> Result<usize, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Integer)]
        looked: i32,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query("SELECT remove_audit_events($1, $2, $3) AS looked")
            .bind::<sql::Text, _>(class)
            .bind::<sql::Timestamptz, _>(before)
            .bind::<sql::Integer, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("remove old audit events")?;
    Ok(rows.into_iter().next().map_or(0, |row| usize::try_from(row.looked).unwrap_or_default()))
}

/// Drops the oldest partition that ends before an instant, and returns its name. Fails when a lock is not to be had within
/// 100 ms: try again.
pub async fn drop_partition(tx: &mut Tx, before: DateTime<Utc>) -> Result<Option<String>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Nullable<sql::Text>)]
        dropped: Option<String>,
    }
    let rows: Vec<Row> =
        Cached(diesel::sql_query("SELECT drop_audit_partition($1) AS dropped").bind::<sql::Timestamptz, _>(before))
            .load(&mut tx.conn())
            .await
            .or_broken("drop a partition of old audit events")?;
    Ok(rows.into_iter().next().and_then(|row| row.dropped))
}
