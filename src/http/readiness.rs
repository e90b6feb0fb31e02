//! Whether this process can do its work, looked at once a second at most, however many ask.
//!
//! Anybody may ask, and a look writes to the database. Invariant: asking often costs the database nothing, and the log gets one
//! line when the answer changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::{
    app::App,
    db::{Trace, health, migrations, partitions},
    failure::Broken,
};

/// How long one look is an answer.
const AGE: Duration = Duration::from_secs(1);

/// How long a look waits for the database: whoever asks may give up soon, and a no is an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the latest look found.
#[derive(Default)]
pub struct Readiness(Arc<Mutex<Latest>>);

#[derive(Default)]
struct Latest {
    looked_at: Option<Instant>,
    found: Found,
}

/// What is missing of what a server needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The database does not take what is written.
    pub no_database: bool,
    /// Versions that the database has not.
    pub migrations: Vec<String>,
    /// Tables whose next partition is missing.
    pub partitions: Vec<String>,
    /// An algorithm has no key that signs.
    pub no_keys: bool,
}

impl Readiness {
    /// What was found at most a second ago. Others who ask meanwhile wait for the same look; it goes on when whoever asked
    /// first is gone.
    pub async fn look(&self, app: Arc<App>, now: DateTime<Utc>) -> Found {
        let mut latest = self.0.clone().lock_owned().await;
        if latest.looked_at.is_some_and(|at| at.elapsed() < AGE) {
            return latest.found.clone();
        }
        let looking = tokio::spawn(async move {
            let (found, broken) = look(&app, now).await;
            if found != latest.found {
                log(&found, broken.as_ref());
            }
            *latest = Latest { looked_at: Some(Instant::now()), found: found.clone() };
            found
        });
        looking.await.unwrap_or_else(|_| Found { no_database: true, ..Found::default() })
    }
}

impl Found {
    /// In words, one for each thing that is missing. Empty: the server is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let database = self.no_database.then(|| "database".to_owned());
        let keys = self.no_keys.then(|| "signing keys".to_owned());
        let migrations = self.migrations.iter().map(|version| format!("migration {version}"));
        let partitions = self.partitions.iter().map(|table| format!("partitions of {table}"));
        database.into_iter().chain(migrations).chain(partitions).chain(keys).collect()
    }
}

async fn look(app: &App, now: DateTime<Utc>) -> (Found, Option<Broken>) {
    let looked = app
        .db
        .within(PATIENCE)
        .work(now, &Trace::default(), async |tx| {
            health::try_write(tx).await?;
            Ok::<_, Broken>((migrations::load_pending(tx).await?, partitions::load_missing(tx).await?))
        })
        .await;
    let no_keys = !app.mint.keys.are_complete(now);
    match looked {
        Ok((migrations, partitions)) => (Found { no_database: false, migrations, partitions, no_keys }, None),
        Err(broken) => (Found { no_database: true, no_keys, ..Found::default() }, Some(broken)),
    }
}

fn log(found: &Found, broken: Option<&Broken>) {
    let missing = found.missing().join(", ");
    if missing.is_empty() {
        tracing::info!("ready again");
    } else {
        tracing::warn!(%missing, broken = broken.map(tracing::field::display), "not ready");
    }
}
