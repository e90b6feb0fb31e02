//! Partitions made ahead and dropped behind.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, partitions},
    failure::Broken,
};

pub const JOB: Job = Job { name: "partitions", every: Duration::from_mins(10), at_start: false, run };

/// How often a turn tries: the locks it needs are given up at once when somebody is in the way.
const TRIES: u32 = 20;

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let mut tries = 0;
        loop {
            let maintained: Result<i32, Broken> =
                app.db.work(app.clock.now(), &Trace::default(), partitions::maintain).await;
            match maintained {
                Ok(0) => return Ok(()),
                Ok(changes) => {
                    tracing::info!(changes, "partitions made or dropped");
                    return Ok(());
                }
                Err(broken) if tries == TRIES => return Err(broken),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
}
