//! Buckets that are empty, removed a batch at a time; and those that hold least, where there are very many.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::throttles};

pub const JOB: Job = Job { name: "throttles", every: Duration::from_mins(1), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        in_batches(app, JOB.name, |tx, limit| Box::pin(throttles::sweep(tx, limit))).await?;
        in_batches(app, JOB.name, |tx, limit| Box::pin(throttles::sweep_excess(tx, limit))).await
    })
}
