//! Figures that have to be counted in the database.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, notices, registrations, session_lists},
    metrics,
};

pub const JOB: Job = Job { name: "gauges", every: Duration::from_secs(30), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        if app.config.metrics.listen.is_none() {
            return Ok(());
        }
        let now = app.clock.now();
        let live = app.db.single(now, &Trace::default(), session_lists::count_live).await?;
        metrics::live_sessions(&live);
        let pending = app.db.single(now, &Trace::default(), notices::count_pending).await?;
        metrics::pending_notices(pending);
        let stored = app.db.single(now, &Trace::default(), registrations::load_stored).await?;
        metrics::registered_clients(stored.clients, stored.octets);
        Ok(())
    })
}
