//! Reports: lists, exports and counts, which may look at many rows. They are kept apart from what people wait for: few of them
//! run at a time, PostgreSQL plans each for what it asks (others are planned once for all, without sequential scans), and
//! PostgreSQL itself stops one that takes too long, so that those which nobody waits for any more do not pile up.

use std::time::Duration;

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{Tx, pool::PATIENCE, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How many run at a time in this process.
const AT_ONCE: usize = 2;

static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);

/// How long PostgreSQL works for a report that a request waits for: less than the request does.
pub const WAITED_FOR: Duration = Duration::from_secs(9);

/// How long for one that nobody waits for.
pub const IN_THE_BACKGROUND: Duration = Duration::from_mins(1);

/// Room for a report, until it is dropped.
pub struct Room(#[expect(dead_code, reason = "it is held, not used")] SemaphorePermit<'static>);

/// Waits for room; "try again" where others take too long.
pub async fn room() -> Result<Room, Broken> {
    match timeout(PATIENCE, ROOM.acquire()).await {
        Ok(Ok(permit)) => Ok(Room(permit)),
        _ => Err(Broken::unavailable("too many reports are under way")),
    }
}

/// Makes the rest of this transaction a report. `None`: it may take as long as it takes.
pub async fn begin(tx: &mut Tx, patience: Option<Duration>) -> Result<(), Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Text)]
        _timeout: String,
    }
    let milliseconds = patience.map_or(0, |patience| patience.as_millis());
    let _: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT set_config('statement_timeout', $1, true) AS _timeout, set_config('plan_cache_mode', 'force_custom_plan', true), \
             set_config('enable_seqscan', 'on', true)",
        )
        .bind::<sql::Text, _>(milliseconds.to_string()),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("begin a report")?;
    Ok(())
}
