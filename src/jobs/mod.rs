//! What has to be done without a request: one file a job, one line in [`JOBS`].
//!
//! Every replica runs every job, so each is right when several do it at once. What would only cost more if several did it
//! goes by turns ([`in_batches`]). A job that fails is logged and tried again at its next turn; nothing depends on one having
//! run at a certain time.

mod audit_retention;
mod authorization_requests;
mod ceremonies;
mod certificate;
mod counts;
mod dead_sessions;
mod devices;
mod elevation_requests;
mod ended_sessions;
mod gauges;
mod keys;
mod late_notices;
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
    db::{Trace, Tx, turns},
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

impl Job {
    /// One turn.
    pub async fn turn(&self, app: &App) -> Result<(), Broken> {
        (self.run)(app).await
    }
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
    late_notices::JOB,
    ended_sessions::JOB,
    audit_retention::JOB,
    notices::JOB,
    mails::JOB,
    settled_notices::JOB,
    counts::JOB,
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

/// How much of a job one transaction did.
type Batch<'t> = Pin<Box<dyn Future<Output = Result<usize, Broken>> + Send + 't>>;

/// Does a job a batch at a time, on one replica at a time. `batch` takes the size of one and says how much it did; one that is
/// not full is the last. Each is a transaction of its own, and a short one. However much there is to do, requests get their
/// share of the database: after each batch the job rests for as long as that took.
async fn in_batches(
    app: &App,
    job: &str,
    batch: impl for<'t> Fn(&'t mut Tx, i64) -> Batch<'t> + Send + Sync,
) -> Result<(), Broken> {
    const SIZE: i64 = 500;
    loop {
        let begun = tokio::time::Instant::now();
        let done = app
            .db
            .work(app.clock.now(), &Trace::default(), async |tx| -> Result<usize, Broken> {
                if turns::take(tx, job).await? { batch(tx, SIZE).await } else { Ok(0) }
            })
            .await?;
        if i64::try_from(done).is_ok_and(|done| done < SIZE) {
            return Ok(());
        }
        tokio::time::sleep(begun.elapsed()).await;
    }
}

async fn repeat(job: &Job, app: Arc<App>) {
    let now = tokio::time::Instant::now();
    let mut turns = interval_at(if job.at_start { now } else { now + job.every }, job.every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = job.turn(&app).await {
            tracing::warn!(job = job.name, %error, "a job failed; it will be tried again");
        }
    }
}
