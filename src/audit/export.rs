//! `audit export`: the trail as JSON lines.

use std::io::Write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    db::{Tx, audit_events, ids},
    failure::Broken,
};

/// Which events to export.
#[derive(Clone, Debug, Default)]
pub struct ExportFilter {
    /// A kind of session; `None`: all.
    pub kind: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub session_id: Option<Uuid>,
}

const PAGE: i64 = 1000;

/// Writes the events in order, one JSON object a line. Returns how many.
pub async fn export(tx: &mut Tx, filter: &ExportFilter, out: &mut impl Write) -> Result<usize, Broken> {
    let mut after = filter.since.map_or(Uuid::nil(), ids::floor);
    let mut count = 0;
    loop {
        let page = audit_events::load_after(tx, after, filter.kind.as_deref(), filter.session_id, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = last.id;
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
