//! Runs the modules of a plan, and says how each ended.

use std::{
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::{Map, Value};

use crate::{
    Fallible, report,
    server::Server,
    suite::{Created, Module, Suite},
};

/// The longest module waits a minute for a changed JWKS; what takes longer than this waits for somebody.
const PATIENCE: Duration = Duration::from_mins(5);

/// How a module ended.
#[derive(Clone, Debug)]
pub struct Seen {
    pub module: String,
    /// The suite's result, or the status in which it got stuck.
    pub result: String,
    pub id: String,
    pub took: Duration,
    /// What did not go well.
    pub complaints: Vec<Complaint>,
}

/// A condition of the suite that is not content.
#[derive(Clone, Debug)]
pub struct Complaint {
    pub result: String,
    /// Its name; of the suite's browser and of a module as a whole, theirs.
    pub condition: String,
    pub said: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.result, self.condition, self.said)
    }
}

/// Runs the modules, or of them only those named; in the plan's order.
pub async fn modules(
    suite: &Suite,
    server: &Server,
    plan: &Created,
    only: &[String],
    at_once: usize,
    results: &Path,
) -> Vec<Seen> {
    let chosen = plan.modules.iter().filter(|module| only.is_empty() || only.contains(&module.name));
    let runs = chosen.map(async |module| {
        // One that cannot be run says nothing about the others.
        let seen = one(suite, server, &plan.id, module, results).await.unwrap_or_else(|error| Seen {
            module: module.name.clone(),
            result: "NOT RUN".to_owned(),
            id: String::new(),
            took: Duration::ZERO,
            complaints: vec![Complaint {
                result: "FAILURE".to_owned(),
                condition: "the runner".to_owned(),
                said: error.to_string(),
            }],
        });
        report::module(&seen);
        seen
    });
    stream::iter(runs).buffered(at_once).collect().await
}

async fn one(suite: &Suite, server: &Server, plan: &str, module: &Module, results: &Path) -> Fallible<Seen> {
    let from = Instant::now();
    let id = suite.create(plan, module).await?;
    while from.elapsed() < PATIENCE {
        match suite.reaches(&id, "CONFIGURED,FINISHED,INTERRUPTED").await?.as_deref() {
            // It waits until the server's keys have been rotated.
            Some("CONFIGURED") if module.name == "oidcc-server-rotate-keys" => {
                server.rotate_keys().await?;
                suite.start(&id).await?;
                break;
            }
            Some("CONFIGURED") => tokio::time::sleep(Duration::from_millis(100)).await,
            Some(_) => break,
            None => {}
        }
    }
    while from.elapsed() < PATIENCE && suite.reaches(&id, "FINISHED,INTERRUPTED").await?.is_none() {}
    let info = suite.ended(&id).await?;
    let result = match (info.status.as_str(), info.result) {
        ("FINISHED", Some(result)) => result,
        (status, _) => {
            suite.cancel(&id).await?;
            status.to_owned()
        }
    };
    let log = suite.log(&id).await?;
    if result != "PASSED" {
        fs::write(results.join(format!("{}-{id}.json", module.name)), serde_json::to_vec_pretty(&log)?)?;
    }
    let complaints = log.iter().filter_map(complaint).collect();
    Ok(Seen { module: module.name.clone(), result, id, took: from.elapsed(), complaints })
}

fn complaint(entry: &Map<String, Value>) -> Option<Complaint> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let complains = matches!(text("result").as_str(), "FAILURE" | "WARNING");
    complains.then(|| Complaint { result: text("result"), condition: text("src"), said: text("msg") })
}
