//! Proofs that nobody can give any more, removed.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, db::ceremonies};

pub const JOB: Job = Job { name: "ceremonies", every: Duration::from_mins(5), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(ceremonies::sweep(tx, limit))))
}
