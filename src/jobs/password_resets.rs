//! Links for forgotten passwords that can be used no more, removed a batch at a time.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::password_resets};

pub const JOB: Job = Job { name: "password resets", every: Duration::from_mins(10), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(password_resets::sweep(tx, limit))))
}
