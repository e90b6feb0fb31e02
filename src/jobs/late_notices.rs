//! Parties that joined a session while it was being ended: the statement that ended it could not see them.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::notices};

/// Not after the job that ends dead sessions: when many die at once, a turn of that may last for longer than this looks back.
pub const JOB: Job = Job { name: "late notices", every: Duration::from_secs(5), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, _| Box::pin(async { notices::queue_late(tx).await.map(|()| 0) })))
}
