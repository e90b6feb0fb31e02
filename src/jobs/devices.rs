//! Devices that nobody has signed in with for long, removed a batch at a time.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::devices};

pub const JOB: Job = Job { name: "devices", every: Duration::from_hours(1), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(devices::sweep(tx, limit))))
}
