//! `audit export`: the trail as JSON lines.

use std::{io::Write, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    db::{
        Database, Trace, Tx,
        audit_events::{self, End, Wanted},
        ids, reports,
    },
    failure::Broken,
};

/// Which events to export.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    /// Only from this instant on.
    pub since: Option<DateTime<Utc>>,
    /// What else is asked for; where it begins is worked out from `since` and the session.
    pub wanted: Wanted,
}

impl ExportFilter {
    /// What to read first: every event of interest comes after its `after`. A session has no event from before it began, by
    /// whatever replica's clock, so partitions of before are not looked into.
    fn begin(&self) -> Wanted {
        let began = self.wanted.session_id.and_then(ids::instant).map(|began| began - CLOCKS);
        Wanted { after: self.since.max(began).map_or(Uuid::nil(), ids::floor), ..self.wanted.clone() }
    }
}

const PAGE: i64 = 1000;

/// How far the clocks of replicas may be apart.
const CLOCKS: TimeDelta = TimeDelta::minutes(1);

/// How long to wait for transactions under way: those of requests are over by then.
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits a little for those who may still write an event before others that are written already: until they have, an
/// export stops before it. Returns where the trail ended, if some of them take longer.
pub async fn settle(tx: &mut Tx) -> Result<Option<End>, Broken> {
    let deadline = Instant::now() + PATIENCE;
    let end = audit_events::find_end(tx).await?;
    while !audit_events::is_settled(tx, &end).await? {
        if Instant::now() > deadline {
            return Ok(Some(end));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(None)
}

/// How many events before this end an export leaves out for now.
pub async fn count_held_back(tx: &mut Tx, filter: &ExportFilter, end: &End) -> Result<i64, Broken> {
    audit_events::count_held_back(tx, end, &filter.begin()).await
}

/// Writes the events in order, one JSON object a line. Returns how many. Each page is a report of its own: whoever reads may be
/// slow, and no transaction waits for them.
pub async fn export(
    db: &Database,
    now: DateTime<Utc>,
    filter: &ExportFilter,
    out: &mut impl Write,
) -> Result<usize, Broken> {
    let mut wanted = filter.begin();
    let mut count = 0;
    loop {
        let load = async |tx: &mut Tx| {
            reports::begin(tx, None).await?;
            audit_events::load_after(tx, &wanted, PAGE).await
        };
        let page = db.work(now, &Trace::default(), load).await?;
        let Some(last) = page.last() else { return Ok(count) };
        wanted.after = last.id;
        count += page.len();
        for event in &page {
            write_line(out, event)?;
        }
    }
}

fn write_line(out: &mut impl Write, event: &audit_events::ExportedEvent) -> Result<(), Broken> {
    let line = serde_json::to_string(event).map_err(Broken::new)?;
    writeln!(out, "{line}").map_err(|error| Broken::new(format_args!("writing the export: {error}")))
}
