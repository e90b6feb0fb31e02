//! `cargo bench --bench flows`: what the product's paths cost, on a release server and a durable PostgreSQL of this run's
//! own, beside what nobody can go below on the same machine. Not a timed test: nothing here passes or fails by speed.
//!
//! The figures to compare are the processor seconds of server and PostgreSQL for a thousand operations: they change less
//! than the rates do when something else is running, and their ratio to an RS256 signature of the same minute hardly at all.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod assertion;
mod cpu;
mod http;
mod journey;
mod limits;
mod load;
mod postgres;
mod report;
mod scenario;
mod server;
mod spread;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use mooring::db::embedded::{DATABASE, Embedded, Role};

use crate::{
    journey::Endpoints,
    load::Target,
    postgres::Postgres,
    scenario::{SCENARIOS, Scenario},
    server::{Database, Scratch, Server},
};

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the product's paths.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "flows", after_help = "Scenarios: see the first column of a run; without any, all are run.")]
struct Arguments {
    /// Which to run, such as `code_flow` or `introspection`.
    scenarios: Vec<String>,
    /// Connections at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    concurrency: Vec<usize>,
    /// How long each is measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Another PostgreSQL on this machine, by the URL of a role that may create tables; a database made for this. Without
    /// it the server manages its embedded one.
    #[arg(long)]
    database_url: Option<String>,
    /// Only: how long from start to first answer, embedded and with a database URL.
    #[arg(long)]
    cold_start: bool,
    /// Only the limits.
    #[arg(long)]
    limits: bool,
    #[arg(long, hide = true)]
    bare_route: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.bare_route { limits::serve_bare_route() } else { run(&arguments) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flows: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Fallible<()> {
    // One thread: on a small machine the client should leave the processors to what it measures.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        tokio::select! {
            done = benchmark(arguments) => done,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        }
    })
}

async fn benchmark(arguments: &Arguments) -> Fallible<()> {
    let chosen = choose(&arguments.scenarios)?;
    let time = Duration::from_secs_f64(arguments.seconds);
    let scratch = Scratch::new()?;
    if arguments.cold_start {
        return cold_start(&scratch).await;
    }
    if arguments.limits {
        limits(time, None).await?;
        return bare_route(&arguments.concurrency, time).await;
    }
    // Before the server: it stops after it, and the embedded cluster goes with its last user.
    let (server, embedded, postgres) = if let Some(url) = &arguments.database_url {
        std::fs::create_dir_all(scratch.data_dir())?;
        std::fs::write(scratch.data_dir().join("master.key"), server::MASTER)?;
        let (server, _) = Server::start(&scratch, &Database::At { owner: url, server: url }).await?;
        spread::from(url, &scratch.data_dir(), server.port)?;
        (server, None, Postgres::connect(url).await?)
    } else {
        let (server, _) = Server::start(&scratch, &Database::Embedded).await?;
        let embedded = Embedded::start(&scratch.data_dir(), Role::Command).await?;
        let postgres = Postgres::connect(&embedded.owner_url(DATABASE)).await?;
        spread::from(&embedded.owner_url(DATABASE), &scratch.data_dir(), server.port)?;
        (server, Some(embedded), postgres)
    };
    println!("{}, {} processors\n", postgres.describe().await?, std::thread::available_parallelism()?);
    limits(time, Some(&postgres)).await?;
    bare_route(&arguments.concurrency, time).await?;
    let failed = scenarios(&chosen, &arguments.concurrency, time, &server, &postgres).await?;
    drop(postgres);
    server.stop().await?;
    if let Some(embedded) = embedded {
        embedded.stop().await?;
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} measurements failed").into()) }
}

fn choose(names: &[String]) -> Fallible<Vec<(&'static str, Scenario)>> {
    if names.is_empty() {
        return Ok(SCENARIOS.to_vec());
    }
    names
        .iter()
        .map(|name| {
            SCENARIOS.iter().find(|(it, _)| it == name).copied().ok_or_else(|| {
                let known: Vec<&str> = SCENARIOS.iter().map(|(it, _)| *it).collect();
                format!("no scenario is called {name}; there are {}", known.join(", ")).into()
            })
        })
        .collect()
}

async fn limits(time: Duration, postgres: Option<&Postgres>) -> Fallible<()> {
    println!("Limits of this machine in this run (processor seconds for 1,000)");
    for (name, signature) in [
        ("RS256 signature, 2048 bits", limits::rs256(time)?),
        ("ES256 signature", limits::es256(time)?),
        ("Ed25519 signature", limits::ed25519(time)?),
    ] {
        println!("  {name:<28} {:>8.4}", signature.as_secs_f64() * 1000.0);
    }
    assertion::print(time)?;
    if let Some(postgres) = postgres {
        let (rate, spent) = postgres.insert_commits(time).await?;
        println!(
            "  {:<28} {spent:>8.4}  PostgreSQL; {rate:.0} commits/s on one connection",
            "single-row INSERT commit"
        );
    }
    println!();
    Ok(())
}

/// The first line of the table.
async fn bare_route(concurrency: &[usize], time: Duration) -> Fallible<()> {
    println!("{}", report::heading());
    let bare = limits::BareRoute::start()?;
    let target = Target { id: bare.id(), server: None, postgres: None };
    for count in concurrency {
        let workers = load::workers(Scenario::BareRoute, &Endpoints::none(bare.port), *count).await?;
        let figures = load::measure(&target, Scenario::BareRoute, workers, time).await?;
        println!("{}", report::line("(bare actix-web route)", *count, &figures));
    }
    Ok(())
}

/// Returns how many measurements failed; the others are printed all the same.
async fn scenarios(
    chosen: &[(&'static str, Scenario)],
    concurrency: &[usize],
    time: Duration,
    server: &Server,
    postgres: &Postgres,
) -> Fallible<usize> {
    let endpoints = Endpoints::discover(server.port).await?;
    let target = Target { id: server.id(), server: Some(server), postgres: Some(postgres) };
    let mut failed = 0;
    for (name, scenario) in chosen {
        let concurrency = if scenario.one_worker() { &[1] } else { concurrency };
        for count in concurrency {
            let figures = async {
                let workers = load::workers(*scenario, &endpoints, *count).await?;
                load::measure(&target, *scenario, workers, time).await
            };
            match figures.await {
                Ok(figures) => println!("{}", report::line(name, *count, &figures)),
                Err(error) => {
                    failed += 1;
                    println!("{name:<24} {count:>4}  failed: {error}");
                }
            }
        }
    }
    println!("\n{}", report::LEGEND);
    Ok(failed)
}

/// From start to first answer on a database that is migrated already.
async fn cold_start(scratch: &Scratch) -> Fallible<()> {
    const TIMES: usize = 9;
    let (server, first) = Server::start(scratch, &Database::Embedded).await?;
    println!("first start ever, with its cluster made: {:.2} s", first.as_secs_f64());
    server.stop().await?;
    let mut embedded = Vec::new();
    for _ in 0..TIMES {
        let (server, took) = Server::start(scratch, &Database::Embedded).await?;
        embedded.push(took);
        server.stop().await?;
    }
    println!("{}", report::spread("embedded PostgreSQL, started with it", &mut embedded));

    let cluster = Embedded::start(&scratch.data_dir(), Role::Command).await?;
    let (owner, restricted) = (cluster.owner_url(DATABASE), cluster.server_url(DATABASE));
    let mut by_url = Vec::new();
    for _ in 0..TIMES {
        let (server, took) = Server::start(scratch, &Database::At { owner: &owner, server: &restricted }).await?;
        by_url.push(took);
        server.stop().await?;
    }
    println!("{}", report::spread("database URL, PostgreSQL running", &mut by_url));
    Ok(cluster.stop().await?)
}
