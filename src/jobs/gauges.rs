//! Figures that were counted in the database, told to Prometheus.

use std::time::Duration;

use super::{Job, Turn};
use crate::{
    app::App,
    db::{Trace, counts, registrations},
    metrics,
};

pub const JOB: Job = Job { name: "gauges", every: Duration::from_secs(30), at_start: true, run };

fn run(app: &App) -> Turn<'_> {
    Box::pin(async move {
        if app.config.metrics.listen.is_none() {
            return Ok(());
        }
        let counts = app.db.single(app.clock.now(), &Trace::default(), counts::load).await?;
        let of = |name| counts.iter().filter(move |it| it.name == name);
        let live: Vec<_> = of("sessions_live").map(|it| (it.kind.clone(), it.count)).collect();
        metrics::live_sessions(&live);
        metrics::pending_notices(of("notices_pending").map(|it| it.count).sum());
        let stored = app.db.single(app.clock.now(), &Trace::default(), registrations::load_stored).await?;
        metrics::registered_clients(stored.clients, stored.octets);
        Ok(())
    })
}
