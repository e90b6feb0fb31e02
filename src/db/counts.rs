//! `counts`: figures for the metrics that are expensive to count. One replica counts; all read.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A figure.
#[derive(Clone, Debug, QueryableByName)]
pub struct Count {
    /// `sessions_live` or `notices_pending`.
    #[diesel(sql_type = sql::Text)]
    pub name: String,
    /// Of which kind; empty: of all.
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    #[diesel(sql_type = sql::BigInt)]
    pub count: i64,
    #[diesel(sql_type = sql::Timestamptz)]
    pub counted_at: DateTime<Utc>,
}

/// The latest figures.
pub async fn load(tx: &mut Tx) -> Result<Vec<Count>, Broken> {
    Cached(diesel::sql_query("SELECT name, kind, count, counted_at FROM counts"))
        .load(&mut tx.conn())
        .await
        .or_broken("load counts")
}

/// Counts anew. Within a report ([`reports`](super::reports)): it reads all open sessions.
///
/// An open session that died by itself is live for the seconds until the job `dead sessions` comes by; looking at each
/// through `live_sessions` costs twenty times as much.
pub async fn count(tx: &mut Tx) -> Result<(), Broken> {
    let now = tx.now;
    let counted: Vec<Count> = Cached(
        diesel::sql_query(
            "SELECT 'sessions_live' AS name, kind, count(*) AS count, $1 AS counted_at FROM sessions WHERE ended_at IS NULL \
                 AND locked_at IS NULL AND look_at < 'infinity' AND expires_at > $1 GROUP BY kind \
             UNION ALL SELECT 'notices_pending', '', count(*), $1 FROM notices WHERE delivered_at IS NULL AND abandoned_at IS NULL",
        )
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count")?;
    let names: Vec<&str> = counted.iter().map(|it| it.name.as_str()).collect();
    let kinds: Vec<&str> = counted.iter().map(|it| it.kind.as_str()).collect();
    let counts: Vec<i64> = counted.iter().map(|it| it.count).collect();
    Cached(
        diesel::sql_query(
            "WITH none AS (UPDATE counts SET count = 0, counted_at = $4 WHERE (name, kind) NOT IN \
                 (SELECT * FROM unnest($1, $2))) \
             INSERT INTO counts (name, kind, count, counted_at) SELECT *, $4 FROM unnest($1, $2, $3) \
             ON CONFLICT (name, kind) DO UPDATE SET count = excluded.count, counted_at = excluded.counted_at",
        )
        .bind::<sql::Array<sql::Text>, _>(names)
        .bind::<sql::Array<sql::Text>, _>(kinds)
        .bind::<sql::Array<sql::BigInt>, _>(counts)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("note what was counted")?;
    Ok(())
}
