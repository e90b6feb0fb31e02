//! Sessions that died by themselves, told: dead they are without it. Many may die at once, such as all of a morning.

use std::time::Duration;

use super::{Job, Turn, in_batches};
use crate::{app::App, sessions};

pub const JOB: Job = Job { name: "dead sessions", every: Duration::from_secs(5), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(in_batches(app, JOB.name, |tx, limit| Box::pin(sessions::end_dead(tx, limit))))
}
