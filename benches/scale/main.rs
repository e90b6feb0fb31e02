//! `cargo bench --bench scale`: what changes when there is much of everything. A database is filled in SQL, and what requests,
//! jobs, lists, removal and a mass expiry cost is printed for it beside an almost empty one. Not a timed test, and not for CI:
//! the usual size takes a quarter of an hour and 30 GB.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(dead_code, reason = "parts of the other benchmark are used, and not all of them")]

#[path = "../flows/cpu.rs"]
mod cpu;
mod fill;
#[path = "../flows/http.rs"]
mod http;
#[path = "../flows/journey.rs"]
mod journey;
#[path = "../flows/postgres.rs"]
mod postgres;
#[path = "../flows/server.rs"]
mod server;
#[path = "../flows/spread.rs"]
mod spread;
mod worker;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use futures_util::future::try_join_all;
use mooring::{
    app::App,
    audit::{self, ExportFilter},
    clock::Clock,
    config::{Config, Sources},
    db::{
        Database, Trace,
        audit_events::Wanted,
        embedded::{DATABASE, Embedded, Role},
        reports,
        session_lists::{self, Filter},
    },
    failure::Broken,
    jobs::JOBS,
    jose::MasterSecret,
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{
    cpu::Of,
    http::Connection,
    journey::{Endpoints, Visitor},
    postgres::Postgres,
    server::{Scratch, Server},
    worker::Worker,
};

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures what much of everything costs.
#[derive(Debug, Parser)]
#[command(name = "scale")]
struct Arguments {
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// For each session.
    #[arg(long, default_value_t = 3)]
    grants: usize,
    #[arg(long, default_value_t = 10)]
    tokens: usize,
    #[arg(long, default_value_t = 20)]
    events: usize,
    /// How long each path is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections at a time.
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How many rows.
pub struct Sizes {
    pub sessions: usize,
    pub grants: usize,
    pub tokens: usize,
    pub events: usize,
}

impl Arguments {
    fn sizes(&self, sessions: usize) -> Sizes {
        Sizes {
            sessions,
            grants: sessions * self.grants,
            tokens: sessions * self.tokens,
            events: sessions * self.events,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                done = benchmark(&arguments) => done,
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // PostgreSQL's own words are the cause of what the driver says.
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("scale: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Where a flow leaves something.
const TABLES: [&str; 3] = ["grants", "access_tokens", "audit_events"];

/// What is measured.
struct Bench {
    server: Server,
    postgres: Postgres,
    /// As the owner.
    database: Client,
    app: Arc<App>,
    endpoints: Arc<Endpoints>,
    time: Duration,
    concurrency: usize,
}

async fn benchmark(arguments: &Arguments) -> Fallible<()> {
    let scratch = Scratch::new()?;
    let (server, _) = Server::start(&scratch, &server::Database::Embedded).await?;
    let embedded = Embedded::start(&scratch.data_dir(), Role::Command).await?;
    let owner = embedded.owner_url(DATABASE);
    spread::from(&owner, &scratch.data_dir(), server.port)?;
    let (database, connection) = tokio_postgres::connect(&owner, NoTls).await?;
    tokio::spawn(connection);
    let bench = Bench {
        endpoints: Endpoints::discover(server.port).await?,
        postgres: Postgres::connect(&owner).await?,
        app: app(&scratch, &embedded.server_url(DATABASE))?,
        database,
        server,
        time: Duration::from_secs_f64(arguments.seconds),
        concurrency: arguments.concurrency,
    };
    println!("{}", bench.postgres.describe().await?);
    bench.prepare().await?;
    for sessions in [1000, arguments.sessions] {
        println!("\n{sessions} sessions more");
        let took = fill::fill(&bench.database, &arguments.sizes(sessions)).await?;
        let size = "SELECT pg_size_pretty(pg_database_size(current_database()))";
        let size: String = bench.database.query_one(size, &[]).await?.get(0);
        println!("  filled in {:.0} s; the database has {size}", took.as_secs_f64());
        bench.paths().await?;
        bench.jobs().await?;
        bench.lists().await?;
    }
    bench.removal(arguments.sessions / 10).await?;
    bench.mass_expiry().await?;
    let Bench { server, postgres, database, app, .. } = bench;
    app.db.close();
    drop((postgres, database, app));
    server.stop().await?;
    Ok(embedded.stop().await?)
}

/// The program's own hands, for jobs and lists.
fn app(scratch: &Scratch, url: &str) -> Fallible<Arc<App>> {
    let said = |stop: mooring::failure::Stop| stop.to_string();
    let file = Some(scratch.0.join("mooring.toml"));
    let config = Config::load(Sources { file, environment: Vec::new() }).map_err(said)?;
    let master = MasterSecret::from_bytes(&std::fs::read(scratch.data_dir().join("master.key"))?).map_err(said)?;
    let db = Database::new(url, 4).map_err(said)?;
    Ok(App::new(config, Clock::default(), db, &master).map_err(said)?)
}

impl Bench {
    /// Somebody signs in, so that they have consented; and tokens are told for whom they are.
    async fn prepare(&self) -> Fallible<()> {
        for client in [fill::COMMON, fill::RARE] {
            Visitor::sign_in(&self.endpoints, client).await?.tokens().await?;
        }
        self.database
            .batch_execute(
                "CREATE TEMPORARY TABLE issuer AS SELECT unnest(audience) AS value FROM access_tokens LIMIT 1",
            )
            .await?;
        Ok(())
    }

    /// Requests: on one session or token over and over, and on another each time.
    async fn paths(&self) -> Fallible<()> {
        println!("  {:<26} {:>8} {:>8} {:>8} {:>8} {:>8}", "path", "ops/s", "p50 ms", "p99 ms", "server", "pg");
        let enough = i64::try_from(2000 * self.concurrency.max(4))?;
        let tokens: Vec<String> = self
            .database
            .query(
                "SELECT id::text FROM access_tokens WHERE secret_hash = sha256($2) ORDER BY random() LIMIT $1",
                &[&enough, &fill::SECRET.as_slice()],
            )
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let sessions: Vec<String> = self
            .database
            .query(
                "SELECT id::text FROM sessions WHERE kind = 'user' AND ended_at IS NULL ORDER BY random() LIMIT $1",
                &[&enough],
            )
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        for path in ["code flow, hot", "code flow, spread", "introspection, spread", "userinfo, spread"] {
            let mut workers = Vec::new();
            for worker in 0..self.concurrency {
                let mine = |all: &[String]| -> Fallible<Vec<Uuid>> {
                    all.iter().skip(worker).step_by(self.concurrency).map(|id| Ok(id.parse()?)).collect()
                };
                let visitor = Visitor::sign_in(&self.endpoints, fill::COMMON).await?;
                let ids = mine(if path.starts_with("code") { &sessions } else { &tokens })?;
                workers.push(Worker { path, visitor, connection: Connection::new(self.server.port), ids, next: 0 });
            }
            let sizes = self.sizes().await?;
            let before = (cpu::read(Of::Process(self.server.id())), cpu::read(Of::Family(self.postgres.postmaster)));
            let begun = Instant::now();
            let latencies = try_join_all(workers.into_iter().map(|worker| self.drive(worker, None))).await?.concat();
            let elapsed = begun.elapsed();
            let server = cpu::read(Of::Process(self.server.id())).since(&before.0);
            let postgres = cpu::read(Of::Family(self.postgres.postmaster)).since(&before.1);
            let count = latencies.len() as f64;
            println!("  {path:<26} {}", figures(latencies, elapsed, server, postgres));
            if path == "code flow, hot" {
                let added = self.sizes().await?.into_iter().zip(sizes).map(|(now, before)| (now - before) / count);
                let added: Vec<String> =
                    TABLES.iter().zip(added).map(|(it, bytes)| format!("{it} {bytes:.0}")).collect();
                println!("    bytes that a flow adds, with indexes: {}", added.join(", "));
            }
        }
        Ok(())
    }

    /// Of [`TABLES`], with their partitions and indexes.
    async fn sizes(&self) -> Fallible<Vec<f64>> {
        let size = "SELECT sum(pg_total_relation_size(relid))::float8 FROM pg_partition_tree($1::text::regclass) \
                    UNION ALL SELECT pg_total_relation_size($1::text::regclass)::float8";
        let mut sizes = Vec::new();
        for table in TABLES {
            let rows = self.database.query(size, &[&table]).await?;
            let all = rows.iter().filter_map(|row| row.get::<_, Option<f64>>(0));
            sizes.push(all.fold(0.0, f64::max));
        }
        Ok(sizes)
    }

    async fn drive(&self, mut worker: Worker, until: Option<&AtomicBool>) -> Fallible<Vec<Duration>> {
        let begun = Instant::now();
        let mut latencies = Vec::new();
        loop {
            let from = Instant::now();
            worker.operate(&self.endpoints).await?;
            latencies.push(from.elapsed());
            let is_over = until.map_or(begun.elapsed() >= self.time, |stop| stop.load(Ordering::Relaxed));
            if is_over {
                return Ok(latencies);
            }
        }
    }

    /// A turn of each job that looks for something to do.
    async fn jobs(&self) -> Fallible<()> {
        for job in JOBS.iter().filter(|job| job.name != "notices") {
            self.timed(job.name, async || job.turn(&self.app).await.map_err(|broken| broken.to_string().into()))
                .await?;
        }
        Ok(())
    }

    async fn timed(&self, what: &str, act: impl AsyncFn() -> Fallible<()>) -> Fallible<()> {
        let before = cpu::read(Of::Family(self.postgres.postmaster));
        let begun = Instant::now();
        act().await?;
        let elapsed = begun.elapsed();
        let postgres = cpu::read(Of::Family(self.postgres.postmaster)).since(&before);
        println!("  {what:<40} {:>9.1} ms {:>9.1} ms of PostgreSQL", milliseconds(elapsed), milliseconds(postgres));
        Ok(())
    }

    async fn lists(&self) -> Fallible<()> {
        let usual = Filter { limit: 100, ..Filter::default() };
        for (what, filter) in [
            ("list: newest", usual.clone()),
            ("list: of a client with many", Filter { client_id: Some(fill::COMMON), live_only: true, ..usual.clone() }),
            ("list: of a client with few", Filter { client_id: Some(fill::RARE), ..usual.clone() }),
            ("list: of a rare kind", Filter { kind: Some("privileged"), ..usual.clone() }),
        ] {
            let list = async || -> Fallible<()> {
                let load = async |tx: &mut mooring::db::Tx| {
                    reports::begin(tx, None).await?;
                    session_lists::load(tx, &filter).await
                };
                let done: Result<_, Broken> = self.app.db.work(self.app.clock.now(), &Trace::default(), load).await;
                done.map(drop).map_err(|broken| broken.to_string().into())
            };
            list().await?;
            self.timed(what, list).await?;
        }
        let session: String =
            self.database.query_one("SELECT id::text FROM sessions WHERE kind = 'user' LIMIT 1", &[]).await?.get(0);
        let session_id = Some(session.parse()?);
        for (what, wanted) in [
            ("export: of a session", Wanted { session_id, ..Wanted::default() }),
            ("export: of a rare kind", Wanted { kind: Some("privileged".to_owned()), ..Wanted::default() }),
        ] {
            let filter = ExportFilter { wanted, ..ExportFilter::default() };
            let export = async || -> Fallible<()> {
                let mut out = std::io::sink();
                let done = audit::export(&self.app.db, self.app.clock.now(), &filter, &mut out).await;
                done.map(drop).map_err(|broken| broken.to_string().into())
            };
            self.timed(what, export).await?;
        }
        Ok(())
    }

    /// Sessions that ended long ago go, with their grants.
    async fn removal(&self, count: usize) -> Fallible<()> {
        println!("\nremoval of {count} sessions that ended 40 days ago");
        let ended = format!(
            "CREATE TEMPORARY TABLE gone AS SELECT id FROM sessions WHERE kind = 'user' ORDER BY id LIMIT {count}; \
             DELETE FROM access_tokens WHERE session_id IN (SELECT id FROM gone); \
             UPDATE sessions SET ended_at = now() - interval '40 days', end_reason = 'expired', look_at = now() \
             WHERE id IN (SELECT id FROM gone); DROP TABLE gone"
        );
        self.database.batch_execute(&ended).await?;
        let job = JOBS.iter().find(|job| job.name == "ended sessions").ok_or("no such job")?;
        self.timed("removal", async || job.turn(&self.app).await.map_err(|broken| broken.to_string().into())).await?;
        Ok(())
    }

    /// All sessions expire at the same moment, and the running server ends them while flows go on.
    async fn mass_expiry(&self) -> Fallible<()> {
        let mut workers = Vec::new();
        for _ in 0..4 {
            let visitor = Visitor::sign_in(&self.endpoints, fill::COMMON).await?;
            let connection = Connection::new(self.server.port);
            workers.push(Worker { path: "code flow, hot", visitor, connection, ids: Vec::new(), next: 0 });
        }
        let expire = "UPDATE sessions SET expires_at = now() - interval '1 minute', look_at = '-infinity' \
                      WHERE ended_at IS NULL AND kind = 'user' AND idle_timeout > interval '1 day'";
        let expired = self.database.execute(expire, &[]).await?;
        println!("\nmass expiry of {expired} sessions, while 4 connections go on with code flows");
        let stop = AtomicBool::new(false);
        let before = cpu::read(Of::Family(self.postgres.postmaster));
        let begun = Instant::now();
        let all_ended = async {
            let left = "SELECT count(*) FROM (SELECT FROM sessions WHERE ended_at IS NULL AND look_at < 'infinity' \
                        AND look_at <= now() - interval '10 seconds' LIMIT 1) s";
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let left: i64 = self.database.query_one(left, &[]).await?.get(0);
                if left == 0 {
                    stop.store(true, Ordering::Relaxed);
                    return Fallible::Ok(begun.elapsed());
                }
            }
        };
        let driven = try_join_all(workers.into_iter().map(|worker| self.drive(worker, Some(&stop))));
        let (took, latencies) = tokio::try_join!(all_ended, driven)?;
        let postgres = cpu::read(Of::Family(self.postgres.postmaster)).since(&before);
        println!("  ended in {:.0} s", took.as_secs_f64());
        println!("  {:<26} {}", "code flow meanwhile", figures(latencies.concat(), took, Duration::ZERO, postgres));
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Rate, latencies, and processor seconds for a thousand operations.
fn figures(mut latencies: Vec<Duration>, elapsed: Duration, server: Duration, postgres: Duration) -> String {
    latencies.sort_unstable();
    let count = latencies.len().max(1);
    let percentile = |of: usize| latencies.get((count * of / 100).min(count - 1)).copied().unwrap_or_default();
    format!(
        "{:>8.0} {:>8.2} {:>8.2} {:>8.4} {:>8.4}",
        count as f64 / elapsed.as_secs_f64(),
        milliseconds(percentile(50)),
        milliseconds(percentile(99)),
        milliseconds(server) / count as f64,
        milliseconds(postgres) / count as f64,
    )
}
