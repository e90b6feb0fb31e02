//! The samples of the histograms, folded into their buckets: kept as they come they would fill the memory.

use std::time::Duration;

use super::{Job, Turn};
use crate::{app::App, metrics};

pub const JOB: Job = Job { name: "upkeep", every: Duration::from_secs(5), at_start: false, run };

fn run(_: &App) -> Turn<'_> {
    Box::pin(async {
        metrics::fold();
        Ok(())
    })
}
