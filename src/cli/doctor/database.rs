//! The database: whether it can be reached, its version, schema, rights and partitions, and whether the master secret opens
//! its signing keys.

use chrono::{DateTime, TimeDelta, Utc};

use super::{super::open, report::Report};
use crate::{
    clock::Clock,
    config::{Config, MasterSource},
    db::{
        self, Database, Trace, Tx,
        embedded::{DATABASE, Embedded, Role},
        health, migrations, partitions,
    },
    elevations,
    failure::{Broken, Stop},
    jose::{MasterSecret, Purpose},
    tokens::Keys,
};

/// How far the clocks may be apart: what tokens and sessions tolerate.
const DRIFT: TimeDelta = TimeDelta::seconds(5);

/// Runs the checks. Returns the key ids that the JWKS publishes, as far as they could be read.
pub(super) async fn check(report: &mut Report, config: &Config) -> Result<Vec<String>, Stop> {
    if let Some(url) = &config.database.url {
        let separate_owner = config.database.migrate_url.is_some();
        return on(report, config, url, (db::place(url), separate_owner)).await;
    }
    if !Embedded::exists(&config.data_dir) {
        report.note(
            format_args!("database: none yet in {}", config.data_dir.display()),
            "the first start makes it; check data_dir if there should be one",
        )?;
        return Ok(Vec::new());
    }
    let embedded = match Embedded::start(&config.data_dir, Role::Command).await {
        Ok(embedded) => embedded,
        Err(stop) => {
            report.stopped("database", &stop)?;
            return Ok(Vec::new());
        }
    };
    let place = open::whereabouts(config, Some(&embedded));
    let found = on(report, config, &embedded.server_url(DATABASE), (place, true)).await;
    embedded.stop().await?;
    found
}

async fn on(
    report: &mut Report,
    config: &Config,
    url: &str,
    (place, separate_owner): (String, bool),
) -> Result<Vec<String>, Stop> {
    let clock = Clock::default();
    let now = clock.now();
    let trace = Trace::default();
    let db = Database::new(url, 1)?;
    let facts = match db.single(now, &trace, health::load_facts).await {
        Ok(facts) => facts,
        Err(broken) => {
            report.stopped("database", &unreachable(broken))?;
            return Ok(Vec::new());
        }
    };
    if facts.major() < migrations::OLDEST {
        let hint = format!("use version {} or later", migrations::OLDEST);
        report.failed(format_args!("database: PostgreSQL {} is too old", facts.version), &hint)?;
        return Ok(Vec::new());
    }
    let pending =
        db.single(now, &trace, migrations::load_pending).await.map_err(|broken: Broken| Stop::from(broken))?;
    if !pending.is_empty() {
        report
            .failed(format_args!("database: {place}: the schema is missing or out of date"), "run `mooring migrate`")?;
        return Ok(Vec::new());
    }
    report.ok(format_args!("database: {place}, schema up to date"))?;
    report.ok(format_args!("PostgreSQL {}", facts.version))?;
    drift(report, clock.now(), facts.clock)?;
    rights(report, &db, now, (&facts.role, separate_owner)).await?;
    ahead(report, &db, now).await?;
    reach(report, config, &db, now).await?;
    let keys = keys(report, config, &db, now).await?;
    db.close();
    Ok(keys)
}

fn unreachable(broken: Broken) -> Stop {
    Stop::from(broken).mend("check DATABASE_URL, or leave it unset to use the embedded PostgreSQL")
}

fn drift(report: &mut Report, ours: DateTime<Utc>, theirs: DateTime<Utc>) -> Result<(), Stop> {
    let drift = (ours - theirs).abs();
    if drift <= DRIFT {
        return report.ok("clock: agrees with the database's");
    }
    report.failed(
        format_args!("clock: {} s from the database's", drift.num_seconds()),
        "synchronise both machines (NTP): sessions and tokens expire by it",
    )
}

async fn rights(
    report: &mut Report,
    db: &Database,
    now: DateTime<Utc>,
    (role, separate_owner): (&str, bool),
) -> Result<(), Stop> {
    let may_change = db.single(now, &Trace::default(), health::may_change_audit_events).await?;
    let hint =
        "set database.migrate_url to the owner and database.url to a role of its own, then run `mooring migrate`";
    match (may_change, separate_owner) {
        (false, _) => report.ok(format_args!("role {role} cannot change audit events")),
        (true, false) => report.note(format_args!("role {role} owns the schema: it could change audit events"), hint),
        (true, true) => report.failed(format_args!("role {role} can change audit events"), hint),
    }
}

async fn ahead(report: &mut Report, db: &Database, now: DateTime<Utc>) -> Result<(), Stop> {
    let missing = db.single(now, &Trace::default(), partitions::load_missing).await?;
    if missing.is_empty() {
        return report.ok("partitions: made ahead");
    }
    report.failed(
        format_args!("partitions of {} are missing", missing.join(", ")),
        "start the server, which makes them; if it runs, its log says why it cannot",
    )
}

/// Whether those whom pages promise to write to have an address.
async fn reach(report: &mut Report, config: &Config, db: &Database, now: DateTime<Utc>) -> Result<(), Stop> {
    let find = async |tx: &mut Tx| elevations::find_unreached(tx, &config.scopes).await;
    for what in db.single(now, &Trace::default(), find).await? {
        report.note(format_args!("approvals: {what}"), elevations::MEND_UNREACHED)?;
    }
    Ok(())
}

/// Whether the master secret opens the signing keys.
async fn keys(report: &mut Report, config: &Config, db: &Database, now: DateTime<Utc>) -> Result<Vec<String>, Stop> {
    let master = match master(config) {
        Ok(master) => master,
        Err(stop) => {
            report.stopped("master secret", &stop)?;
            return Ok(Vec::new());
        }
    };
    let keys = Keys::new(master.derive(Purpose::SealSigningKeys));
    if let Err(broken) = db.single(now, &Trace::default(), async |tx| keys.reload(tx).await).await {
        let stop = Stop::from(broken);
        report.stopped("signing keys", &stop.mend("give the master secret that this database was made with"))?;
        return Ok(Vec::new());
    }
    if keys.are_complete(now) {
        report.ok("signing keys: open under the master secret")?;
    } else {
        report.note("signing keys: not all made yet", "the next start of the server makes them")?;
    }
    let kids = keys.public_jwks().iter().filter_map(|key| key["kid"].as_str().map(str::to_owned)).collect();
    Ok(kids)
}

/// The master secret, never made anew here.
fn master(config: &Config) -> Result<MasterSecret, Stop> {
    match config.master_source()? {
        MasterSource::Given(secret) => MasterSecret::from_bytes(secret.expose().as_bytes()),
        MasterSource::File(file) | MasterSource::Generated(file) => open::read_master(&file),
    }
}
