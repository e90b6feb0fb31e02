//! `mooring keys`: the keys that sign tokens.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::json;

use super::{Opened, open::opened, operator, output, session::instant};
use crate::{
    config::Config,
    db::{
        Trace,
        signing_keys::{self, SigningKeyRow},
    },
    failure::Stop,
    jose::{Algorithm, Purpose},
    tokens::{self, Retirement},
};

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the published keys
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Publish a new key of each algorithm; it signs once verifiers have had time to fetch it
    Rotate {
        /// Only of this algorithm
        #[arg(long = "algorithm", value_name = "ALG")]
        algorithms: Vec<Algorithm>,
    },
    /// Retire a key at once: nothing that it signed is believed any more. For a key that others may have
    Retire {
        /// Its id, as `keys list` prints it
        kid: String,
    },
}

pub(super) async fn run(config: Config, command: &Keys) -> Result<(), Stop> {
    match command {
        Keys::List { json } => opened(config, async |opened| list(opened, *json).await).await,
        Keys::Retire { kid } => opened(config, async |opened| retire(opened, kid).await).await,
        Keys::Rotate { algorithms } => opened(config, async |opened| rotate(opened, algorithms).await).await,
    }
}

async fn list(opened: &Opened, as_json: bool) -> Result<(), Stop> {
    opened.ready_keys().await?;
    let app = &opened.app;
    let now = app.clock.now();
    let keys = app.db.single(now, &Trace::default(), signing_keys::load_published).await?;
    if as_json {
        let described: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "kid": key.kid, "alg": key.algorithm, "state": state(key, &keys, now), "created_at": key.created_at,
                    "signs_from": key.signs_from, "retires_at": key.retires_at, "jwk": key.public_jwk,
                })
            })
            .collect();
        return output::json(&described);
    }
    let cells: Vec<_> = keys
        .iter()
        .map(|key| {
            [
                key.kid.clone(),
                key.algorithm.clone(),
                state(key, &keys, now).to_owned(),
                instant(key.signs_from),
                key.retires_at.map_or_else(|| "-".to_owned(), instant),
            ]
        })
        .collect();
    output::table(["KID", "ALG", "STATE", "SIGNS FROM", "LEAVES THE JWKS"], &cells)
}

/// Whether it signs, will sign, or only verifies what it has signed.
fn state(key: &SigningKeyRow, keys: &[SigningKeyRow], now: DateTime<Utc>) -> &'static str {
    let signs = keys.iter().rev().find(|other| other.algorithm == key.algorithm && other.signs_from <= now);
    if key.signs_from > now {
        "next"
    } else if signs.is_some_and(|other| other.kid == key.kid) {
        "signs"
    } else {
        "verifies"
    }
}

async fn rotate(opened: &Opened, algorithms: &[Algorithm]) -> Result<(), Stop> {
    let algorithms = if algorithms.is_empty() { &Algorithm::ALL } else { algorithms };
    // Never a new set under a master secret that does not open the old one.
    opened.ready_keys().await?;
    let app = &opened.app;
    let seal = opened.master.derive(Purpose::SealSigningKeys);
    let (kids, from) = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| tokens::rotate(tx, &seal, algorithms).await)
        .await?;
    // What is said next is true of every server that runs.
    tokio::time::sleep(tokens::PUBLISHED_WITHIN * 2).await;
    output::line(&format!("published {}; they sign from {}", kids.join(", "), instant(from)))
}

async fn retire(opened: &Opened, kid: &str) -> Result<(), Stop> {
    opened.ready_keys().await?;
    let app = &opened.app;
    let seal = opened.master.derive(Purpose::SealSigningKeys);
    let retired =
        app.db.work(app.clock.now(), &operator::trace(), async |tx| tokens::retire(tx, &seal, kid).await).await?;
    let said = match retired {
        Retirement::Unknown => {
            return Err(Stop::new(format_args!("there is no signing key {kid}")).mend("`mooring keys list` lists them"));
        }
        Retirement::Already => format!("{kid} was retired before"),
        Retirement::Done { successor } => format!("retired {kid}; {successor} signs in its place"),
        Retirement::Spare { signs } => format!("retired {kid}, which did not sign; {signs} goes on signing"),
    };
    // What is printed next is true of every server that runs.
    tokio::time::sleep(tokens::PUBLISHED_WITHIN * 2).await;
    output::line(&said)
}
