//! The command line: one file a command, each a thin hand on what the rest of the house does.
//!
//! Results go to stdout, logs and errors to stderr. Invariant: secrets come by stdin or file, never by argument, where
//! every process of the machine could read them.

mod audit;
mod client;
mod declared;
mod demo;
mod deployment;
mod docs;
mod doctor;
mod files;
mod keys;
mod logging;
mod mail;
mod migrate;
mod open;
mod operator;
mod output;
mod port;
mod serve;
mod session;
mod signals;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

pub use self::{
    open::{Opened, open},
    serve::{Ready, serve},
};
use crate::{
    config::{Config, Sources},
    failure::Stop,
};

/// An OAuth 2.1 / OpenID Connect authorization server in which every code and token is bound to a session.
#[derive(Debug, Parser)]
#[command(name = "mooring", version, subcommand_help_heading = "Commands", disable_help_subcommand = true)]
pub struct Cli {
    /// The configuration file (TOML); else `MOORING_CONFIG`. Every key is also a variable of the environment
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; what `mooring` alone does
    Serve,
    /// Serve demo users, a demo relying party and a demo API, and walk through one complete flow
    Demo(demo::Demo),
    /// Bring the database to the schema of this program
    Migrate,
    /// Add and disable people, and say what they may
    #[command(subcommand)]
    User(user::User),
    /// Register, list and disable clients
    #[command(subcommand)]
    Client(client::Client),
    /// Look at sessions, and end them with all that hangs on them
    #[command(subcommand)]
    Session(session::Session),
    /// Read the audit trail
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at the signing keys, and rotate them
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Check configuration, database, issuer and mail server, and change nothing
    Doctor(doctor::Doctor),
    /// Try the mail server
    #[command(subcommand)]
    Mail(mail::Mail),
    /// Print a part of the documentation that is made from the program itself
    Docs(docs::Docs),
}

impl Cli {
    /// The configuration that the command line and the environment name.
    pub fn configuration(&self) -> Result<Config, Stop> {
        Config::load(Sources::process(self.config.clone()))
    }

    /// The configuration file, if one is named.
    fn configuration_file(&self) -> Option<PathBuf> {
        Sources::process(self.config.clone()).file
    }

    fn is_start(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve | Command::Demo(_)))
    }
}

/// Runs the program and says how it went: 0 done, 1 failed, 2 wrong usage.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let stop = misused(&error);
            return fail(&stop, &stop.line());
        }
        // Help and version were asked for.
        Err(error) => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    // Two threads for what is not a request: the listener has threads of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(&cli)),
        Err(error) => Err(Stop::new(format_args!("the runtime does not start: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // A start is refused with the mend on a line of its own; a command fails in one line.
        Err(stop) if cli.is_start() => fail(&stop, &stop.to_string()),
        Err(stop) => fail(&stop, &stop.line()),
    }
}

async fn dispatch(cli: &Cli) -> Result<(), Stop> {
    match &cli.command {
        None | Some(Command::Serve) => serve::run(cli).await,
        Some(Command::Demo(demo)) => Box::pin(demo::run(cli, demo)).await,
        Some(command) => {
            // Dropping what is under way leaves the embedded database as it should be left.
            tokio::select! {
                outcome = work(cli, command) => outcome,
                () = signals::interrupted() => Err(Stop::new("interrupted")),
            }
        }
    }
}

async fn work(cli: &Cli, command: &Command) -> Result<(), Stop> {
    match command {
        Command::Serve | Command::Demo(_) => Ok(()),
        Command::Docs(docs) => docs::run(docs),
        Command::Doctor(doctor) => doctor::run(cli, doctor).await,
        Command::Mail(mail) => mail::run(cli.configuration()?, mail).await,
        Command::Migrate => migrate::run(&cli.configuration()?).await,
        Command::User(user) => user::run(cli.configuration()?, user).await,
        Command::Client(client) => client::run(cli.configuration()?, client).await,
        Command::Session(session) => session::run(cli.configuration()?, session).await,
        Command::Audit(audit) => audit::run(cli.configuration()?, audit).await,
        Command::Keys(keys) => keys::run(cli.configuration()?, keys).await,
    }
}

/// The parser's paragraphs as one line.
fn misused(error: &clap::Error) -> Stop {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Stop::usage("the command goes on: --help says how");
    }
    let text = error.to_string();
    let mut said = String::new();
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")) {
        if line.is_empty() || line.starts_with("For more information") {
            continue;
        }
        if !said.is_empty() {
            said.push_str(if said.ends_with(':') { " " } else { "; " });
        }
        said.push_str(line.strip_prefix("error: ").unwrap_or(line));
    }
    Stop::usage(said)
}

fn fail(stop: &Stop, said: &str) -> ExitCode {
    eprintln!("{said}");
    ExitCode::from(stop.exit_code())
}

/// The commands as the parser knows them, for the documentation.
fn grammar() -> clap::Command {
    Cli::command()
}
