//! `mooring session`: what is going on, and its end.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use super::{Opened, open::opened, operator, output, user};
use crate::{
    audit::{self, Actor, ExportedEvent},
    config::Config,
    db::{
        Trace, Tx, reports,
        session_lists::{self, Filter, ListedSession},
        sessions as rows,
    },
    failure::{Broken, Stop},
    sessions,
};

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// List sessions, newest first
    List(List),
    /// Print one session as JSON, with its timeline
    Show {
        /// Its id, or the `sid` under which a client knows it
        id: Uuid,
    },
    /// Lock a session: everything that hangs on it is refused until it is unlocked
    Lock(Watch),
    /// Let a locked session go on
    Unlock(Watch),
    /// End a session, or everything of a person, with all that hangs on it; of a `sid` its offline access, too
    End(End),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those of this person
    #[arg(long)]
    user: Option<String>,
    /// Only those that this client took part in
    #[arg(long)]
    client: Option<String>,
    /// Only those of this kind
    #[arg(long, value_parser = ["visitor", "user", "privileged", "service", "offline", "device"])]
    kind: Option<String>,
    /// Only those that nothing has ended
    #[arg(long)]
    live: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// At most so many
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
}

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Its id, or the `sid` under which a client knows it
    id: Uuid,
    /// Why: for the audit, and, of a lock, for the person
    #[arg(long, value_parser = reason)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct End {
    /// Its id, or the `sid` under which a client knows it
    #[arg(conflicts_with = "user")]
    id: Option<Uuid>,
    /// Everything of this person: offline access too, and a sign-in under way
    #[arg(long)]
    user: Option<String>,
    /// Why, in your words, for the audit
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
}

fn reason(text: &str) -> Result<String, &'static str> {
    if sessions::is_reason(text) { Ok(text.to_owned()) } else { Err(sessions::REASON_RULE) }
}

pub(super) async fn run(config: Config, command: &Session) -> Result<(), Stop> {
    match command {
        Session::List(what) => opened(config, async |opened| list(opened, what).await).await,
        Session::Show { id } => opened(config, async |opened| show(opened, *id).await).await,
        Session::Lock(what) => opened(config, async |opened| lock(opened, what).await).await,
        Session::Unlock(what) => opened(config, async |opened| unlock(opened, what).await).await,
        Session::End(End { id: None, user: None, .. }) => {
            Err(Stop::usage("say which: an ID, or --user NAME for everything of theirs"))
        }
        Session::End(what) => opened(config, async |opened| end(opened, what).await).await,
    }
}

async fn list(opened: &Opened, what: &List) -> Result<(), Stop> {
    let app = &opened.app;
    let found = app
        .db
        .work(app.clock.now(), &Trace::default(), async |tx| -> Result<_, Stop> {
            reports::begin(tx, None).await?;
            let user_id = match &what.user {
                Some(name) => Some(user::find(tx, name).await?.id),
                None => None,
            };
            let filter = Filter {
                id: None,
                user_id,
                client_id: what.client.as_deref(),
                kind: what.kind.as_deref(),
                live_only: what.live,
                offline: None,
                before: None,
                limit: what.limit,
            };
            Ok(session_lists::load(tx, &filter).await?)
        })
        .await?;
    if i64::try_from(found.len()).is_ok_and(|count| count == what.limit) {
        eprintln!("only the newest {} are listed: --limit N lists more", what.limit);
    }
    if what.json {
        return output::json(&found);
    }
    let cells: Vec<_> = found.iter().map(cells).collect();
    output::table(["ID", "KIND", "WHO", "CLIENTS", "BEGAN", "LAST SEEN", "STATE", "FROM"], &cells)
}

fn cells(session: &ListedSession) -> [String; 8] {
    let state = match (&session.ended_at, &session.end_reason) {
        (Some(_), reason) => {
            let reason = reason.as_deref().unwrap_or("-");
            session
                .end_note
                .as_ref()
                .map_or_else(|| format!("ended: {reason}"), |note| format!("ended: {reason}, {note}"))
        }
        _ if session.live => "live".to_owned(),
        _ if session.locked_at.is_some() => {
            format!("locked: {}", session.lock_reason.as_deref().unwrap_or("-"))
        }
        _ => "expired".to_owned(),
    };
    let from = [session.device.as_deref(), session.place.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    [
        session.id.to_string(),
        session.kind.clone(),
        session.username.clone().or_else(|| session.client_id.clone()).unwrap_or_else(|| "-".to_owned()),
        or_dash(&session.clients.join(",")),
        instant(session.created_at),
        instant(session.last_seen_at),
        state,
        or_dash(&from.join(", ")),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// As people and programs read it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

async fn show(opened: &Opened, id: Uuid) -> Result<(), Stop> {
    let app = &opened.app;
    let found = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| -> Result<_, Stop> {
            let ids = resolve(tx, id).await?;
            let (first, offline) = ids.split_first().ok_or_else(|| unknown(id))?;
            let filter = Filter { id: Some(*first), limit: 1, ..Filter::default() };
            let session = session_lists::load(tx, &filter).await?.into_iter().next().ok_or_else(|| unknown(id))?;
            let timeline = audit::timeline(tx, *first).await?;
            Ok(Shown { session, timeline, offline_sessions: offline.to_vec() })
        })
        .await?;
    output::json(&found)
}

/// A session with what happened in it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    session: ListedSession,
    timeline: Vec<ExportedEvent>,
    /// What a `sid` stands for beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offline_sessions: Vec<Uuid>,
}

async fn lock(opened: &Opened, what: &Watch) -> Result<(), Stop> {
    let locked = watched(opened, what, async |tx, id| sessions::lock(tx, id, &what.reason, Actor::Operator).await);
    let said = match locked.await?.as_slice() {
        [] => format!("{} was locked already, or has ended", what.id),
        ids => format!("locked {}", listed(ids)),
    };
    output::line(&said)
}

async fn unlock(opened: &Opened, what: &Watch) -> Result<(), Stop> {
    let unlocked = watched(opened, what, async |tx, id| sessions::unlock(tx, id, &what.reason, Actor::Operator).await);
    let said = match unlocked.await?.as_slice() {
        [] => format!("{} was not locked, or has ended", what.id),
        ids => format!("unlocked {}", listed(ids)),
    };
    output::line(&said)
}

async fn watched(
    opened: &Opened,
    what: &Watch,
    change: impl AsyncFn(&mut Tx, Uuid) -> Result<bool, Broken>,
) -> Result<Vec<Uuid>, Stop> {
    let (app, change) = (&opened.app, &change);
    app.db.work(app.clock.now(), &operator::trace(), async |tx| changed(tx, what.id, change).await).await
}

/// Changes what an id or a `sid` stands for. Returns what was changed.
async fn changed(
    tx: &mut Tx,
    id: Uuid,
    change: impl AsyncFn(&mut Tx, Uuid) -> Result<bool, Broken>,
) -> Result<Vec<Uuid>, Stop> {
    let mut changed = Vec::new();
    for id in resolve(tx, id).await? {
        if change(tx, id).await? {
            changed.push(id);
        }
    }
    Ok(changed)
}

fn listed(ids: &[Uuid]) -> String {
    ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
}

async fn end(opened: &Opened, what: &End) -> Result<(), Stop> {
    let (app, note) = (&opened.app, what.reason.as_deref());
    let said = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<String, Stop> {
            if let Some(id) = what.id {
                let end = async |tx: &mut Tx, id| sessions::end_by_hand(tx, id, note, Actor::Operator).await;
                return Ok(match changed(tx, id, end).await?.as_slice() {
                    [] => format!("{id} had ended already"),
                    ids => format!("ended {}", listed(ids)),
                });
            }
            let name = what.user.as_deref().unwrap_or_default();
            let user = user::find(tx, name).await?;
            let count = sessions::end_all_by_hand(tx, user.id, note, Actor::Operator).await?;
            Ok(format!("ended everything of {}; sessions: {count}", user.username))
        })
        .await?;
    output::line(&said)
}

/// What an id or a `sid` stands for; never nothing.
async fn resolve(tx: &mut Tx, id: Uuid) -> Result<Vec<Uuid>, Stop> {
    let found = rows::resolve(tx, id).await?;
    if found.is_empty() { Err(unknown(id)) } else { Ok(found) }
}

fn unknown(id: Uuid) -> Stop {
    Stop::new(format_args!("there is no session {id}, and none with this sid"))
}
