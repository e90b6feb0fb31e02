//! Changes of one kind that come at the same time, made by one statement.
//!
//! Most of what a small change costs PostgreSQL is not the change: it is starting a plan, taking the statement in and answering
//! it, a commit and a flush. While a worker thread has one such statement under way, further changes wait for it, and then those
//! of a kind go together. Alone, a change goes at once, so nobody waits when little is asked.
//!
//! Together is a matter of cost and of nothing else. A change is answered when it is committed. If a statement fails, or what
//! one of its changes needs is locked for longer than [`TURN`], each of them is made by itself, so that none fails or waits for
//! another's sake; nor does a statement that gives up a lock so soon hold anybody else up. What nobody waits for any more is not
//! begun.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    pg::Pg,
    query_builder::{BoxedSqlQuery, SqlQuery},
    sql_types::{Array, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::{
    Database, Tx, audit_events::AuditEvent, connection::Conn, ids::event_id, statement::Cached, work::OrBroken,
};
use crate::failure::Broken;

/// The most changes that go in one statement. Each number of them is prepared by itself, once a connection.
const MOST: usize = 8;

/// How long changes wait for the statement before theirs, and a statement of several for a lock. Longer than any takes that is
/// not kept from something.
const TURN: Duration = Duration::from_millis(50);

/// A field of a change.
pub(super) enum Field {
    Uuid(Option<Uuid>),
    Uuids(Option<Vec<Uuid>>),
    Text(Option<String>),
    Texts(Vec<String>),
    Time(Option<DateTime<Utc>>),
    Bytes(Option<Vec<u8>>),
    Json(Option<Value>),
    Integer(i32),
}

macro_rules! field_from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {
        $(impl From<$from> for Field {
            fn from($value: $from) -> Self {
                $to
            }
        })*
    };
}

field_from! {
    Uuid => |id| Self::Uuid(Some(id));
    Option<Uuid> => |id| Self::Uuid(id);
    Option<&[Uuid]> => |ids| Self::Uuids(ids.map(<[Uuid]>::to_vec));
    &str => |text| Self::Text(Some(text.to_owned()));
    Option<&str> => |text| Self::Text(text.map(str::to_owned));
    &[String] => |texts| Self::Texts(texts.to_vec());
    DateTime<Utc> => |at| Self::Time(Some(at));
    Option<DateTime<Utc>> => |at| Self::Time(at);
    Option<&[u8]> => |bytes| Self::Bytes(bytes.map(<[u8]>::to_vec));
    Option<&Value> => |json| Self::Json(json.cloned());
    i32 => |number| Self::Integer(number);
}

type Query<'q> = BoxedSqlQuery<'q, Pg, SqlQuery>;

impl Field {
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        match self {
            Self::Uuid(id) => query.bind::<Nullable<SqlUuid>, _>(*id),
            Self::Uuids(ids) => query.bind::<Nullable<Array<SqlUuid>>, _>(ids.as_deref()),
            Self::Text(text) => query.bind::<Nullable<Text>, _>(text.as_deref()),
            Self::Texts(texts) => query.bind::<Array<Text>, _>(texts),
            Self::Time(at) => query.bind::<Nullable<Timestamptz>, _>(*at),
            Self::Bytes(bytes) => query.bind::<Nullable<Bytea>, _>(bytes.as_deref()),
            Self::Json(json) => query.bind::<Nullable<Jsonb>, _>(json.as_ref()),
            Self::Integer(number) => query.bind::<Integer, _>(number),
        }
    }
}

/// A change, with its event.
struct Change {
    id: Uuid,
    /// The event's first.
    fields: Vec<Field>,
}

impl Change {
    /// Of the unit's latest event.
    fn of(tx: &mut Tx, id: Uuid, fields: Vec<Field>) -> Result<Self, Broken> {
        let (sequence, event) = tx.take_event()?;
        let AuditEvent { kind, session_id, actor, user_id, client_id, action, outcome, reason, detail } = event;
        let mut all = vec![
            event_id(tx.now, sequence).into(),
            tx.now.into(),
            kind.into(),
            session_id.into(),
            actor.into(),
            user_id.into(),
            Field::Text(client_id),
            action.into(),
            outcome.into(),
            Field::Text(reason),
            Field::Json(detail),
            Field::Bytes(tx.trace.source_hash.clone()),
            Field::Bytes(tx.trace.agent_hash.clone()),
            tx.trace.request_id.as_str().into(),
            id.into(),
        ];
        all.extend(fields);
        Ok(Self { id, fields: all })
    }
}

/// What every change brings: its event, and its id.
const COMMON: [&str; 15] = [
    "event_id",
    "at",
    "kind",
    "event_session_id",
    "actor",
    "event_user_id",
    "event_client_id",
    "action",
    "outcome",
    "reason",
    "detail",
    "source_hash",
    "agent_hash",
    "trace",
    "id",
];

/// A statement that makes changes of one kind, and returns the `id` of those that it made.
///
/// Its text says `{values}` where the changes stand: rows of `id`, of the statement's own columns and of those that
/// [`insert_events_of`](super::audit_events::insert_events_of) takes. `at` is the instant of each. What it looks up, it looks
/// up by keys alone (`id = ANY (ARRAY(SELECT …))`), whatever it then joins.
pub(super) struct Statement {
    columns: &'static [&'static str],
    text: &'static str,
    /// For each number of changes.
    texts: [OnceLock<String>; MOST],
}

impl Statement {
    pub(super) const fn new(columns: &'static [&'static str], text: &'static str) -> Self {
        Self { columns, text, texts: [const { OnceLock::new() }; MOST] }
    }

    fn text(&self, changes: usize) -> Result<&str, Broken> {
        let text = changes.checked_sub(1).and_then(|place| self.texts.get(place));
        let text = text.ok_or_else(|| Broken::new("a statement for no changes, or for too many"))?;
        Ok(text.get_or_init(|| {
            let width = COMMON.len() + self.columns.len();
            let row = |change: usize| {
                let parameters: Vec<String> = (1..=width).map(|n| format!("${}", change * width + n)).collect();
                format!("({})", parameters.join(", "))
            };
            let rows: Vec<String> = (0..changes).map(row).collect();
            let columns: Vec<&str> = COMMON.iter().chain(self.columns).copied().collect();
            let (rows, columns) = (rows.join(", "), columns.join(", "));
            // Until the end of this statement, which is a transaction by itself. A volatile function, so it is called first and once.
            let patience = match changes {
                1 => String::new(),
                _ => format!(", set_config('lock_timeout', '{}ms', true) patience", TURN.as_millis()),
            };
            self.text.replace("{values}", &format!("(SELECT v.* FROM (VALUES {rows}) v ({columns}){patience})"))
        }))
    }

    async fn make(&self, mut conn: &Conn, changes: &[&Change]) -> Result<Vec<Uuid>, Broken> {
        #[derive(QueryableByName)]
        struct Made {
            #[diesel(sql_type = SqlUuid)]
            id: Uuid,
        }
        let query = diesel::sql_query(self.text(changes.len())?).into_boxed();
        let query = changes.iter().flat_map(|change| &change.fields).fold(query, |query, field| field.bind(query));
        let made: Vec<Made> = Cached(query).load(&mut conn).await.or_broken("make changes")?;
        Ok(made.into_iter().map(|made| made.id).collect())
    }
}

/// Makes a change and tells it in the unit's latest event. `false`: what it needs is not so any more, and nothing is changed.
///
/// Within a transaction it is made there; else together with others of its kind, if such come.
pub(super) async fn make(
    tx: &mut Tx,
    statement: &'static Statement,
    id: Uuid,
    fields: Vec<Field>,
) -> Result<bool, Broken> {
    let change = Change::of(tx, id, fields)?;
    match tx.company() {
        Some((db, company)) => company.join(db, statement, change).await,
        None => Ok(statement.make(tx.conn(), &[&change]).await?.contains(&id)),
    }
}

/// The changes of a worker thread that wait for others.
pub(super) struct Company {
    /// Whose turn it is: a statement of whatever kind at a time, so that more gather for the next.
    turn: Semaphore,
    kinds: Mutex<Vec<Kind>>,
}

impl Default for Company {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), kinds: Mutex::default() }
    }
}

struct Kind {
    statement: &'static Statement,
    waiting: Vec<Waiting>,
}

struct Waiting {
    change: Change,
    told: oneshot::Sender<Result<bool, Broken>>,
}

impl Company {
    async fn join(
        self: &Arc<Self>,
        db: &Database,
        statement: &'static Statement,
        change: Change,
    ) -> Result<bool, Broken> {
        let (told, answer) = oneshot::channel();
        let departs = self.with(statement, |kind| {
            kind.waiting.push(Waiting { change, told });
            // Whoever finds no room in a statement that is to come begins another.
            kind.waiting.len() % MOST == 1
        });
        if departs {
            // Not in the request that happens to be the first: its caller may go away.
            tokio::spawn(self.clone().depart(db.clone(), statement));
        }
        answer.await.unwrap_or_else(|_| Err(Broken::unavailable("the server stops")))
    }

    async fn depart(self: Arc<Self>, db: Database, statement: &'static Statement) {
        let _turn = timeout(TURN, self.turn.acquire()).await;
        let mut waiting: Vec<Waiting> = self.with(statement, |kind| {
            let together = kind.waiting.len().min(MOST);
            kind.waiting.drain(..together).collect()
        });
        match make_all(&db, statement, &mut waiting).await {
            Ok(made) => {
                for Waiting { change, told } in waiting {
                    let _ = told.send(Ok(made.contains(&change.id)));
                }
            }
            // Rolled back. Not so where the connection was lost, for then they may have been made.
            Err(broken) if waiting.len() > 1 && !broken.is_lost() => {
                tracing::warn!(%broken, changes = waiting.len(), "made one by one, for they cannot be made together");
                for alone in waiting {
                    let db = db.clone();
                    tokio::spawn(async move {
                        let mut alone = vec![alone];
                        let made = make_all(&db, statement, &mut alone).await;
                        for Waiting { change, told } in alone {
                            let _ = told.send(made.clone().map(|made| made.contains(&change.id)));
                        }
                    });
                }
            }
            Err(broken) => {
                for Waiting { told, .. } in waiting {
                    let _ = told.send(Err(broken.clone()));
                }
            }
        }
    }

    fn with<T>(&self, statement: &'static Statement, then: impl FnOnce(&mut Kind) -> T) -> T {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kinds.iter().position(|kind| std::ptr::eq(kind.statement, statement)).unwrap_or_else(|| {
            kinds.push(Kind { statement, waiting: Vec::new() });
            kinds.len() - 1
        });
        then(&mut kinds[place])
    }
}

/// Makes what is still waited for, and once more on another connection where the database refuses to go on with the first.
async fn make_all(
    db: &Database,
    statement: &'static Statement,
    waiting: &mut Vec<Waiting>,
) -> Result<Vec<Uuid>, Broken> {
    let deadline = db.deadline();
    match make_once(db, deadline, statement, waiting).await {
        Err(broken) if broken.is_undone() && Instant::now() < deadline => {
            make_once(db, deadline, statement, waiting).await
        }
        made => made,
    }
}

/// Whoever went away before the statement was begun has asked for nothing.
async fn make_once(
    db: &Database,
    deadline: Instant,
    statement: &'static Statement,
    waiting: &mut Vec<Waiting>,
) -> Result<Vec<Uuid>, Broken> {
    db.lend(deadline, async |conn| {
        waiting.retain(|waiting| !waiting.told.is_closed());
        let changes: Vec<&Change> = waiting.iter().map(|waiting| &waiting.change).collect();
        if changes.is_empty() { Ok(Vec::new()) } else { statement.make(conn, &changes).await }
    })
    .await
}
