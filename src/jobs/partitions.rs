//! Partitions made ahead and dropped behind.

use std::time::Duration;

use super::{Job, Turn};
use crate::{app::App, db::partitions};

pub const JOB: Job = Job { name: "partitions", every: Duration::from_mins(10), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let changes = partitions::maintain(&app.db, app.clock.now()).await?;
        if changes > 0 {
            tracing::info!(changes, "partitions made or dropped");
        }
        Ok(())
    })
}
