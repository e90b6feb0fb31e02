//! Requests that nobody can resume any more, removed a batch at a time, so that no transaction is a long one.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::authorization_requests};

pub const JOB: Job = Job { name: "authorization requests", every: Duration::from_mins(5), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(authorization_requests::sweep(tx, limit))))
}
