//! `mooring audit`: the trail, as programs read it.

use std::io::{self, BufWriter, Write};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{Opened, open::opened};
use crate::{
    app::App,
    audit::{self, ExportFilter},
    config::Config,
    db::{
        Trace,
        audit_events::{self, Wanted, WantedPerson},
        reports, sessions, users,
    },
    failure::{Broken, Stop},
    jose::base64url,
    unicode::name_key,
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
    /// Only events of this person, and refused sign-ins with this name
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only this action, such as sign_in or session.ended
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only events from the same source as this event
    #[arg(long, value_name = "EVENT")]
    like_source: Option<Uuid>,
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
    let mut out = Pipe { out: BufWriter::new(io::stdout()), closed: false };
    let exported = export_to(app, what, &mut out).await;
    match (exported, out.flush()) {
        _ if out.closed => Ok(()),
        (Err(stop), _) => Err(stop),
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

/// Whose events to export. A name that nobody has may have been tried all the same.
async fn person(app: &App, name: &str) -> Result<WantedPerson, Broken> {
    let found =
        app.db.single(app.clock.now(), &Trace::default(), async |tx| users::find_by_username(tx, name).await).await?;
    Ok(WantedPerson { id: found.map(|user| user.id), account: base64url(&app.sources.hash(&name_key(name))) })
}

/// The source of an event, as a keyed hash.
async fn source(app: &App, event: Uuid) -> Result<Vec<u8>, Stop> {
    let found = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| audit_events::find_source(tx, event).await)
        .await?;
    match found {
        Some(Some(source)) => Ok(source),
        Some(None) => Err(Stop::new(format_args!("event {event} has no source: nobody's request caused it"))),
        None => Err(Stop::new(format_args!("there is no event {event}"))),
    }
}

/// Exports, and returns how many events are held back.
async fn export_to(app: &App, what: &Export, out: &mut impl Write) -> Result<i64, Stop> {
    let (now, trace) = (app.clock.now(), Trace::default());
    // An event may name a session that is no longer there: then the id is taken as it is.
    let session_id = match what.session {
        Some(id) => {
            let found = app.db.single(now, &trace, async |tx| sessions::resolve(tx, id).await).await?;
            Some(found.first().copied().unwrap_or(id))
        }
        None => None,
    };
    let wanted = Wanted {
        kind: Some(what.kind.clone()).filter(|kind| kind != "all"),
        session_id,
        person: match &what.user {
            Some(name) => Some(person(app, name).await?),
            None => None,
        },
        action: what.action.clone(),
        source_hash: match what.like_source {
            Some(event) => Some(source(app, event).await?),
            None => None,
        },
        ..Wanted::default()
    };
    let filter = ExportFilter { since: what.since, wanted };
    let unsettled = app.db.single(now, &trace, async |tx| audit::settle(tx).await).await?;
    audit::export(&app.db, now, &filter, out).await?;
    let Some(end) = unsettled else { return Ok(0) };
    app.db
        .work(now, &trace, async |tx| -> Result<i64, Broken> {
            reports::begin(tx, None).await?;
            audit::count_held_back(tx, &filter, &end).await
        })
        .await
        .map_err(Stop::from)
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
