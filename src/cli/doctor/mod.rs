//! `mooring doctor`: one line for each check, with a hint where something is wrong.
//!
//! Invariant: it looks and changes nothing. It makes no directory, no database, no key and no partition.

mod database;
mod files;
mod issuer;
mod mail;
mod report;

use clap::Args;

use self::report::Report;
use super::{Cli, deployment, open};
use crate::failure::Stop;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Print JSON instead of lines: an array of objects with outcome (ok, note, failed), what and hint
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(cli: &Cli, doctor: &Doctor) -> Result<(), Stop> {
    open::use_one_cryptography();
    let mut report = Report::new(doctor.json);
    let config = match cli.configuration() {
        Ok(config) => config,
        Err(stop) => {
            report.stopped("configuration", &stop)?;
            return report.verdict();
        }
    };
    report.ok(deployment::version())?;
    let file = cli.configuration_file();
    let from = file.as_ref().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    report.ok(format_args!("configuration: {from}, issuer {}", config.issuer.as_str()))?;
    for advice in deployment::advice(&config) {
        report.note(advice.what, advice.hint)?;
    }
    files::modes(&mut report, &config, file.as_deref())?;
    let config = files::usable(&mut report, config)?;
    let keys = database::check(&mut report, &config).await?;
    issuer::check(&mut report, &config, &keys).await?;
    mail::check(&mut report, &config).await?;
    report.verdict()
}
