//! `mooring doctor`: one line a check, and what mends what is wrong.

use std::fmt::Display;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Cli, Opened, files, open, output};
use crate::{
    clock::Clock,
    config::{self, Config},
    db::{Trace, embedded::Role, health, migrations, partitions},
    failure::Stop,
    outbound::Outbound,
};

/// What tokens and sessions forgive.
const DRIFT: TimeDelta = TimeDelta::seconds(5);

fn ok(what: impl Display) -> Result<(), Stop> {
    output::line(&format!("ok      {what}"))
}

/// Something that works and could be better.
fn note(what: impl Display, mend: &str) -> Result<(), Stop> {
    output::line(&format!("note    {what}\n        {mend}"))
}

/// Counts what failed.
#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn failed(&mut self, what: impl Display, mend: &str) -> Result<(), Stop> {
        self.failed += 1;
        output::line(&format!("FAILED  {what}\n        {mend}"))
    }

    /// A `Stop` says itself what is wrong and what mends it.
    fn stopped(&mut self, what: &str, stop: &Stop) -> Result<(), Stop> {
        self.failed += 1;
        let said = stop.to_string().replace('\n', "\n      ");
        output::line(&format!("FAILED  {what}: {}", said.strip_prefix("mooring: ").unwrap_or(&said)))
    }

    fn verdict(self) -> Result<(), Stop> {
        match self.failed {
            0 => Ok(()),
            1 => Err(Stop::new("1 check failed")),
            more => Err(Stop::new(format_args!("{more} checks failed"))),
        }
    }
}

pub(super) async fn run(cli: &Cli) -> Result<(), Stop> {
    open::use_one_cryptography();
    let mut report = Report::default();
    let config = match cli.configuration() {
        Ok(config) => config,
        Err(stop) => {
            report.stopped("configuration", &stop)?;
            return report.verdict();
        }
    };
    ok(format_args!("configuration: issuer {}", config.issuer.as_str()))?;
    let config = usable(&mut report, config)?;
    database(&mut report, &config).await?;
    issuer(&mut report, &config).await?;
    report.verdict()
}

/// Reads what the configuration names, and goes on without what cannot be used.
fn usable(report: &mut Report, mut config: Config) -> Result<Config, Stop> {
    for named in files::NAMED.iter().filter(|named| (named.is_there)(&config)).collect::<Vec<_>>() {
        match (named.read)(&config) {
            Ok(()) => ok(format_args!("{}: can be used", named.key))?,
            Err(stop) => {
                report.stopped(named.key, &stop)?;
                (named.leave_out)(&mut config);
            }
        }
    }
    for file in files::strangers(&config)? {
        note(format_args!("{} replaces no template", file.display()), "remove it, or give it the name of one of ours")?;
    }
    Ok(config)
}

/// The database, and what is sealed in it.
async fn database(report: &mut Report, config: &Config) -> Result<(), Stop> {
    let clock = Clock::default();
    let separate_owner = config.database.url.is_none() || config.database.migrate_url.is_some();
    let source = match config.master_source() {
        Ok(source) => source,
        Err(stop) => return report.stopped("master secret", &stop),
    };
    let (embedded, db) = match open::database(config, &clock, Role::Command).await {
        Ok(open) => open,
        Err(stop) => return report.stopped("database", &stop),
    };
    match open::on(config.clone(), &source, clock, embedded, db).await {
        Err(stop) => report.stopped("master secret", &stop),
        Ok(opened) => {
            let checked = check(report, &opened, separate_owner).await;
            opened.close().await?;
            checked
        }
    }
}

async fn check(report: &mut Report, opened: &Opened, separate_owner: bool) -> Result<(), Stop> {
    let app = &opened.app;
    let trace = Trace::default();
    ok(format_args!("database: {}, schema up to date", opened.data))?;
    let (facts, may_change, missing) = app
        .db
        .single(app.clock.now(), &trace, async |tx| -> Result<_, Stop> {
            let facts = health::load_facts(tx).await?;
            Ok((facts, health::may_change_audit_events(tx).await?, partitions::load_missing(tx).await?))
        })
        .await?;
    if facts.major() >= migrations::OLDEST {
        ok(format_args!("PostgreSQL {}", facts.version))?;
    } else {
        report.failed(
            format_args!("PostgreSQL {} is too old", facts.version),
            &format!("use version {} or later", migrations::OLDEST),
        )?;
    }
    clock(report, app.clock.now(), facts.clock)?;
    let mend = "let database.migrate_url name the owner and database.url a role of its own, then run `mooring migrate`";
    let role = &facts.role;
    match (may_change, separate_owner) {
        (false, _) => ok(format_args!("role {role} cannot change audit events"))?,
        (true, false) => {
            note(format_args!("role {role} owns the schema: it could change audit events"), mend)?;
        }
        (true, true) => report.failed(format_args!("role {role} can change audit events"), mend)?,
    }
    if missing.is_empty() {
        ok("partitions: made ahead")?;
    } else {
        report.failed(
            format_args!("partitions of {} are missing", missing.join(", ")),
            "start the server, which makes them; if it runs, its log says what hinders it",
        )?;
    }
    match opened.ready_keys().await {
        Ok(()) => ok("signing keys: open under the master secret"),
        Err(stop) => report.stopped("signing keys", &stop),
    }
}

fn clock(report: &mut Report, ours: DateTime<Utc>, theirs: DateTime<Utc>) -> Result<(), Stop> {
    let drift = (ours - theirs).abs();
    if drift <= DRIFT {
        return ok("clock: agrees with the database's");
    }
    report.failed(
        format_args!("clock: {} s from the database's", drift.num_seconds()),
        "synchronise both machines (NTP): what expires depends on it",
    )
}

/// Whether relying parties that ask the issuer reach this server. Nothing is wrong while it does not run.
async fn issuer(report: &mut Report, config: &Config) -> Result<(), Stop> {
    let issuer = config.issuer.as_str();
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
    let outbound = Outbound::new(&config::Outbound { trust: config.outbound.trust.clone(), allow: anywhere })?;
    let url = config.issuer.url("/.well-known/openid-configuration");
    match outbound.get_json(&url).await {
        Err(error) => note(
            format_args!("issuer: {url} is not to be had: {error}"),
            "fine while the server does not run; else check DNS, proxy and certificate",
        ),
        Ok(document) if document["issuer"] == issuer => ok(format_args!("issuer: {url} answers")),
        Ok(_) => report.failed(
            format_args!("issuer: {url} is answered by another"),
            "let `issuer` be the public URL of this server, and the proxy lead there",
        ),
    }
}
