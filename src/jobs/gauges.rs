//! Figures that have to be counted in the database.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, session_lists},
    metrics,
};

pub const JOB: Job = Job { name: "gauges", every: Duration::from_secs(30), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        if app.config.metrics.listen.is_none() {
            return Ok(());
        }
        let live = app.db.single(app.clock.now(), &Trace::default(), session_lists::count_live).await?;
        metrics::live_sessions(&live);
        Ok(())
    })
}
