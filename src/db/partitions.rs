//! Partitions: made ahead, dropped behind, by a function that runs as the schema's owner.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Database, Trace, Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How long a change that found a lock taken waits before it tries again.
const PAUSE: Duration = Duration::from_millis(200);

/// How often in a row a change tries.
const TRIES: u32 = 50;

/// How often old partitions are tried that are in use.
const TRIES_TO_DROP: u32 = 5;

/// Makes the partitions of now and the next three periods, then drops expired ones, each in a transaction of its own: a change
/// holds its lock for a few milliseconds. A partition that cannot be locked is dropped at a later turn, and logged. Returns how
/// many were changed.
///
/// Errors: a partition could not be made. All others were.
pub async fn maintain(db: &Database, now: DateTime<Utc>) -> Result<usize, Broken> {
    let (mut changes, mut tries, mut tries_to_drop) = (0, 0, 0);
    loop {
        match db.single(now, &Trace::default(), async |tx| maintain_one(tx).await).await {
            Ok(None) => {
                let left = db.single(now, &Trace::default(), load_undropped).await?;
                tries_to_drop += 1;
                if left.is_empty() {
                    return Ok(changes);
                }
                if tries_to_drop == TRIES_TO_DROP {
                    let partitions = left.join(", ");
                    tracing::warn!(%partitions, "old partitions are in use and stay until the next turn");
                    return Ok(changes);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(Some(change)) => {
                tracing::debug!(%change, "partition");
                (changes, tries) = (changes + 1, 0);
            }
            Err(broken) if tries == TRIES || !broken.is_locked() => return Err(broken),
            Err(_) => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The first change that is due; what it was.
async fn maintain_one(tx: &mut Tx) -> Result<Option<String>, Broken> {
    #[derive(QueryableByName)]
    struct Change {
        #[diesel(sql_type = sql::Nullable<sql::Text>)]
        change: Option<String>,
    }
    let now = tx.now;
    let rows: Vec<Change> =
        Cached(diesel::sql_query("SELECT maintain_a_partition($1) AS change").bind::<sql::Timestamptz, _>(now))
            .load(&mut tx.conn())
            .await
            .or_broken("maintain partitions")?;
    Ok(rows.into_iter().next().and_then(|row| row.change))
}

/// The partitions past keeping that are still there.
async fn load_undropped(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    #[derive(QueryableByName)]
    struct Left {
        #[diesel(sql_type = sql::Array<sql::Text>)]
        undropped: Vec<String>,
    }
    let now = tx.now;
    let rows: Vec<Left> =
        Cached(diesel::sql_query("SELECT undropped_partitions($1) AS undropped").bind::<sql::Timestamptz, _>(now))
            .load(&mut tx.conn())
            .await
            .or_broken("look for partitions past keeping")?;
    Ok(rows.into_iter().next().map(|row| row.undropped).unwrap_or_default())
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
