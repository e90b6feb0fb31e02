//! `cargo run --release --example conformance -- --suite https://…`: runs the OpenID Foundation's conformance suite against
//! this server, and compares every module with what is expected of it.
//!
//! It starts the server itself, from the same sources as itself, with `server.toml`; the suite has to be running. Nothing
//! passes because it was not looked at: a module that is missing, or a result that nobody gave a reason for, is a failure.

mod browser;
mod expected;
mod plans;
mod report;
mod run;
mod server;
mod suite;
#[cfg(test)]
mod tests;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    expected::Expected,
    plans::{Places, Plan},
    report::Verdict,
    server::Server,
    suite::Suite,
};

pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs the OpenID Foundation's conformance suite against this server.
#[derive(Debug, Parser)]
#[command(name = "conformance")]
struct Arguments {
    /// The base URL of a running suite.
    #[arg(long, value_name = "URL")]
    suite: String,
    /// The certificate authority of the suite, in PEM, if the system does not know it.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For a suite that asks who is there: a token of its own.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Which plans of `plans.toml`; without, all.
    #[arg(long = "plan", value_name = "NAME")]
    plans: Vec<String>,
    /// Only these modules: to look at one; then modules that are missing are not failures.
    #[arg(long = "module", value_name = "NAME")]
    modules: Vec<String>,
    /// The issuer, if the suite does not run on this machine. The server speaks TLS with the certificate of the repository's
    /// tests, which the suite does not check.
    #[arg(long, value_name = "URL", default_value = "https://localhost:9443")]
    issuer: String,
    /// Where the server listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9443")]
    listen: String,
    /// Networks, beside loopback, in which the suite is reached by the server.
    #[arg(long, value_name = "NETWORK")]
    allow: Vec<String>,
    /// Modules at a time, in plans where the suite allows more than one.
    #[arg(long, default_value_t = 4)]
    parallel: usize,
    /// Where the results are saved.
    #[arg(long, value_name = "FOLDER", default_value = "target/conformance")]
    results: PathBuf,
    /// Write down what was seen as what is expected; what is not PASSED then still needs its reason.
    #[arg(long)]
    record: bool,
}

/// The folder of this file.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

fn main() -> ExitCode {
    // Started by itself, it is the server under test: so the two are never of different sources.
    if env::var_os(server::AS_SERVER).is_some() {
        return mooring::cli::run();
    }
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ran = runtime.block_on(async {
        tokio::select! {
            ran = conform(&arguments) => ran,
            // What was started is stopped again.
            () = asked_to_stop() => Err("interrupted".into()),
        }
    });
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&*error),
    }
}

async fn asked_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("conformance: {error}");
    ExitCode::FAILURE
}

/// Runs the plans; says whether everything was as expected.
async fn conform(arguments: &Arguments) -> Fallible<bool> {
    let plans = plans::chosen(&arguments.plans)?;
    let suite = Suite::connect(arguments).await?;
    let places = Places {
        issuer: arguments.issuer.trim_end_matches('/').to_owned(),
        suite: arguments.suite.trim_end_matches('/').to_owned(),
    };
    fs::create_dir_all(&arguments.results)?;
    let server = Server::start(arguments, &places).await?;
    let mut verdicts = Vec::new();
    for plan in &plans {
        verdicts.push(one(arguments, &suite, &server, &places, plan).await?);
    }
    server.stop().await?;
    report::summary(&verdicts);
    Ok(verdicts.iter().all(Verdict::is_as_expected))
}

async fn one(arguments: &Arguments, suite: &Suite, server: &Server, places: &Places, plan: &Plan) -> Fallible<Verdict> {
    let expected = Expected::read(&plan.name)?;
    let configuration = plan.configuration(places)?;
    let created = suite.create_plan(&plan.suites, &plan.variant, &configuration).await?;
    report::begin(plan, &suite.page(&created.id));
    // Modules that share an alias share their addresses, so they go one by one.
    let at_once = if configuration.get("alias").is_some() { 1 } else { arguments.parallel.max(1) };
    let seen = run::modules(suite, server, &created, &arguments.modules, at_once, &arguments.results).await;
    suite.save(&created.id, &arguments.results.join(format!("{}.zip", plan.name))).await?;
    let expected = if arguments.record { expected.record(plan, &seen)? } else { expected };
    let verdict = expected.judge(plan, &seen, !arguments.modules.is_empty());
    report::end(&verdict);
    fs::write(
        arguments.results.join(format!("{}.json", plan.name)),
        serde_json::to_vec_pretty(&report::saved(plan, &seen, &verdict))?,
    )?;
    Ok(verdict)
}
