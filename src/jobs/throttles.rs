//! Buckets that have long been empty, removed.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, throttles},
};

pub const JOB: Job = Job { name: "throttles", every: Duration::from_mins(30), at_start: false, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        let removed = app.db.single(app.clock.now(), &Trace::default(), throttles::sweep).await?;
        tracing::debug!(removed, "throttles swept");
        Ok(())
    })
}
