//! Visitor sessions that came to nothing, removed a batch at a time: whoever asks without a cookie begins one.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::sessions};

pub const JOB: Job = Job { name: "visitors", every: Duration::from_mins(10), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(sessions::sweep_visitors(tx, limit))))
}
