//! Partitions: made ahead, dropped behind, by a function that runs as the schema's owner.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

#[derive(QueryableByName)]
struct Changes {
    #[diesel(sql_type = sql::Integer)]
    changes: i32,
}

/// Makes the partitions of now and the next three periods and drops expired ones. Fails when a lock is not to be had
/// within 100 ms: try again.
pub async fn maintain(tx: &mut Tx) -> Result<i32, Broken> {
    let now = tx.now;
    let rows: Vec<Changes> =
        Cached(diesel::sql_query("SELECT maintain_partitions($1) AS changes").bind::<sql::Timestamptz, _>(now))
            .load(&mut tx.conn())
            .await
            .or_broken("maintain partitions")?;
    Ok(rows.into_iter().next().map_or(0, |row| row.changes))
}

/// The tables whose next partition is missing: the server is not ready.
pub async fn load_missing(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    #[derive(QueryableByName)]
    struct Missing {
        #[diesel(sql_type = sql::Array<sql::Text>)]
        missing: Vec<String>,
    }
    let now = tx.now;
    let rows: Vec<Missing> =
        Cached(diesel::sql_query("SELECT missing_partitions($1) AS missing").bind::<sql::Timestamptz, _>(now))
            .load(&mut tx.conn())
            .await
            .or_broken("look for missing partitions")?;
    Ok(rows.into_iter().next().map(|row| row.missing).unwrap_or_default())
}
