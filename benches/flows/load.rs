//! Drives a scenario with so many workers and takes the figures around it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::{
    Fallible,
    cpu::{self, Of},
    journey::Endpoints,
    limits,
    postgres::{self, Postgres},
    scenario::{Scenario, Worker},
    server::Server,
};

const WARM_UP: Duration = Duration::from_secs(1);
/// PostgreSQL's processes publish their counts at most once a second, at the end of a transaction.
const PUBLISH: Duration = Duration::from_millis(1100);

/// What is measured besides the clock.
pub struct Target<'a> {
    pub id: u32,
    pub server: Option<&'a Server>,
    pub postgres: Option<&'a Postgres>,
}

#[derive(Debug, Default)]
pub struct Figures {
    pub operations: usize,
    pub elapsed: Duration,
    latencies: Vec<Duration>,
    pub server: Duration,
    pub postgres: Option<Duration>,
    /// Of one RS256 signature, measured just before.
    pub signature: Duration,
    pub statements: Option<f64>,
    pub round_trips: Option<f64>,
    pub database: Option<postgres::Counted>,
    /// Resident memory in MiB after the load.
    pub memory: Option<f64>,
}

impl Figures {
    /// The latency that so many in a hundred operations stay under.
    pub fn percentile(&self, of_hundred: usize) -> Duration {
        let index = (self.latencies.len() * of_hundred / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).copied().unwrap_or_default()
    }

    pub fn each(&self, total: f64) -> f64 {
        total / self.operations.max(1) as f64
    }
}

/// Prepares workers for `scenario`, as many as `concurrency`.
pub async fn workers(scenario: Scenario, endpoints: &Arc<Endpoints>, concurrency: usize) -> Fallible<Vec<Worker>> {
    if scenario == Scenario::BareRoute {
        return Ok((0..concurrency).map(|_| Worker::bare(endpoints.port)).collect());
    }
    let supply = scenario.supply().map_or(0, |all| all.div_ceil(concurrency));
    // One after another: a burst of sign-ins is not what is measured.
    let mut workers = Vec::new();
    for _ in 0..concurrency {
        workers.push(Worker::prepare(scenario, endpoints, supply).await?);
    }
    Ok(workers)
}

/// Drives the workers for `time`, or until what was prepared for them is used up.
pub async fn measure(
    target: &Target<'_>,
    scenario: Scenario,
    mut workers: Vec<Worker>,
    time: Duration,
) -> Fallible<Figures> {
    let signature = limits::rs256(Duration::from_millis(200))?;
    let repeatable = scenario.supply().is_none();
    if repeatable {
        drive(&mut workers, WARM_UP).await?;
    }
    let counted = scenario.needs_database() && target.postgres.is_some();
    let mut figures = Figures { signature, ..Figures::default() };

    let database_before = publish(target, &mut workers, counted, repeatable).await?;
    let (statements, round_trips) = counters(target).await;
    let postgres_before = target.postgres.map(|it| cpu::read(Of::Family(it.postmaster)));
    let before = cpu::read(Of::Process(target.id));
    let from = Instant::now();
    figures.latencies = drive(&mut workers, time).await?;
    figures.elapsed = from.elapsed();
    figures.server = cpu::read(Of::Process(target.id)).since(&before);
    figures.postgres = target
        .postgres
        .zip(postgres_before.as_ref())
        .map(|(postgres, before)| cpu::read(Of::Family(postgres.postmaster)).since(before));
    let (statements_after, round_trips_after) = counters(target).await;
    figures.statements = statements_after.zip(statements).map(|(after, before)| after - before);
    figures.round_trips = round_trips_after.zip(round_trips).map(|(after, before)| after - before);
    figures.memory = cpu::memory(target.id);
    let database_after = publish(target, &mut workers, counted, repeatable).await?;
    figures.database = database_after.zip(database_before).map(|(after, before)| after.since(&before, repeatable));

    figures.latencies.sort_unstable();
    figures.operations = figures.latencies.len();
    Ok(figures)
}

/// Reads PostgreSQL's counters after one more operation of each worker, which makes its processes publish them. That one
/// operation is counted at both ends, so it cancels out.
async fn publish(
    target: &Target<'_>,
    workers: &mut [Worker],
    counted: bool,
    repeatable: bool,
) -> Fallible<Option<postgres::Counts>> {
    let Some(postgres) = target.postgres.filter(|_| counted) else { return Ok(None) };
    sleep(PUBLISH).await;
    if repeatable {
        drive(workers, Duration::ZERO).await?;
    }
    postgres.counts().await.map(Some)
}

async fn counters(target: &Target<'_>) -> (Option<f64>, Option<f64>) {
    match target.server {
        Some(server) => {
            (server.counter("mooring_db_statements_total").await, server.counter("mooring_db_round_trips_total").await)
        }
        None => (None, None),
    }
}

/// Every worker operates until `time` is over, at least once; returns the time of each operation.
async fn drive(workers: &mut [Worker], time: Duration) -> Fallible<Vec<Duration>> {
    let from = Instant::now();
    let each = workers.iter_mut().map(|worker| async move {
        let mut latencies = Vec::new();
        loop {
            let began = Instant::now();
            if !worker.operate().await? {
                break;
            }
            latencies.push(began.elapsed());
            if from.elapsed() >= time {
                break;
            }
        }
        Fallible::Ok(latencies)
    });
    Ok(try_join_all(each).await?.concat())
}
