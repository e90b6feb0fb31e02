//! What has to be done without a request: one file a job, one line in [`JOBS`].
//!
//! Every replica runs every job, so each is right when several do it at once. A job that fails is logged and tried
//! again at its next turn; nothing depends on one having run at a certain time.

mod authorization_requests;
mod ceremonies;
mod certificate;
mod dead_sessions;
mod devices;
mod elevation_requests;
mod gauges;
mod keys;
mod mails;
mod notices;
mod partitions;
mod password_resets;
mod registrations;
mod reset_requests;
mod scopes;
mod settled_notices;
mod throttles;
mod upkeep;
mod user_names;
mod visitors;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use crate::{
    app::App,
    db::{Trace, Tx},
    failure::Broken,
};

/// One turn of a job.
type Turn<'a> = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send + 'a>>;

/// Something done again and again.
pub struct Job {
    pub name: &'static str,
    pub every: Duration,
    /// Whether the first turn is at the start rather than one period later.
    at_start: bool,
    run: for<'a> fn(&'a App) -> Turn<'a>,
}

/// All of them.
pub static JOBS: &[Job] = &[
    partitions::JOB,
    keys::JOB,
    certificate::JOB,
    scopes::JOB,
    throttles::JOB,
    devices::JOB,
    authorization_requests::JOB,
    ceremonies::JOB,
    password_resets::JOB,
    reset_requests::JOB,
    elevation_requests::JOB,
    user_names::JOB,
    visitors::JOB,
    registrations::JOB,
    dead_sessions::JOB,
    notices::JOB,
    mails::JOB,
    settled_notices::JOB,
    gauges::JOB,
    upkeep::JOB,
];

/// The jobs of a running server.
pub struct Running(JoinSet<()>);

/// Starts every job; they stop when told to, or when this is dropped.
#[must_use]
pub fn start(app: &Arc<App>) -> Running {
    let mut tasks = JoinSet::new();
    for job in JOBS {
        tasks.spawn(repeat(job, app.clone()));
    }
    Running(tasks)
}

impl Running {
    /// Stops them. What one was in the middle of is rolled back.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

/// Removes rows a batch at a time, so that no transaction is a long one. `remove` takes the size of a batch and says how
/// many it removed.
async fn in_batches(app: &App, remove: impl AsyncFn(&mut Tx, i64) -> Result<usize, Broken>) -> Result<(), Broken> {
    const BATCH: i64 = 1000;
    loop {
        let removed = app.db.single(app.clock.now(), &Trace::default(), async |tx| remove(tx, BATCH).await).await?;
        if i64::try_from(removed).is_ok_and(|removed| removed < BATCH) {
            return Ok(());
        }
    }
}

async fn repeat(job: &Job, app: Arc<App>) {
    let now = tokio::time::Instant::now();
    let mut turns = interval_at(if job.at_start { now } else { now + job.every }, job.every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = (job.run)(&app).await {
            tracing::warn!(job = job.name, %error, "a job failed; it will be tried again");
        }
    }
}
