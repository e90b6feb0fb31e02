//! Notices that were settled days ago, removed a batch at a time; and mail that was written into a folder, with its links.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::notices};

pub const JOB: Job = Job { name: "settled notices", every: Duration::from_mins(10), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        in_batches(app, JOB.name, |tx, limit| Box::pin(notices::sweep(tx, limit))).await?;
        app.mailer.sweep(app.clock.now()).await.map(drop)
    })
}
