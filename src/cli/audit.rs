//! `mooring audit`: the trail, as programs read it.

use std::io::{self, BufWriter, Write};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{Opened, open::opened};
use crate::{
    audit::{self, ExportFilter},
    config::Config,
    db::Trace,
    failure::Stop,
};

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Print events as JSON lines, oldest first
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Only the trail of this kind of session
    #[arg(long, default_value = "all",
          value_parser = ["all", "visitor", "user", "privileged", "service", "offline", "device", "server"])]
    kind: String,
    /// Only from this instant on (RFC 3339, such as 2026-01-31T08:00:00Z)
    #[arg(long, value_parser = instant)]
    since: Option<DateTime<Utc>>,
    /// Only events of this session: its id, or the `sid` under which a client knows it
    #[arg(long)]
    session: Option<Uuid>,
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|error| format!("{error}: write it as in 2026-01-31T08:00:00Z"))
}

pub(super) async fn run(config: Config, command: &Audit) -> Result<(), Stop> {
    let Audit::Export(what) = command;
    opened(config, async |opened| export(opened, what).await).await
}

async fn export(opened: &Opened, what: &Export) -> Result<(), Stop> {
    let app = &opened.app;
    let out = Mutex::new(Pipe { out: BufWriter::new(io::stdout()), closed: false });
    let exported = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| {
            // An event may name a session that is no longer there: then the id is taken as it is.
            let session_id = match what.session {
                Some(id) => Some(crate::db::sessions::resolve(tx, id).await?.first().copied().unwrap_or(id)),
                None => None,
            };
            let kind = Some(what.kind.clone()).filter(|kind| kind != "all");
            let filter = ExportFilter { kind, since: what.since, session_id };
            let unsettled = audit::settle(tx).await?;
            audit::export(tx, &filter, &mut *out.lock().await).await?;
            match unsettled {
                Some(end) => audit::count_held_back(tx, &filter, &end).await,
                None => Ok(0),
            }
        })
        .await;
    let mut out = out.into_inner();
    match (exported, out.flush()) {
        _ if out.closed => Ok(()),
        (Err(broken), _) => Err(broken.into()),
        (Ok(_), Err(error)) => Err(Stop::new(format_args!("writing the export: {error}"))),
        (Ok(0), Ok(())) => Ok(()),
        (Ok(held_back), Ok(())) => {
            eprintln!(
                "mooring: {held_back} newer events are held back, since a transaction that is still open in this PostgreSQL \
                 may write earlier ones: export again when it has ended (backend_xid in pg_stat_activity names it)"
            );
            Ok(())
        }
    }
}

/// Remembers that the reader had seen enough, which is no failure.
struct Pipe<W> {
    out: W,
    closed: bool,
}

impl<W: Write> Pipe<W> {
    fn note<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        self.closed |= outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        outcome
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let outcome = self.out.write(octets);
        self.note(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.out.flush();
        self.note(outcome)
    }
}
