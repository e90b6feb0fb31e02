//! `audit_events`: append-only rows, written by the transaction whose change they tell.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    pg::Pg,
    query_builder::BoxedSqlQuery,
    sql_types::{Bytea, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Tx,
    ids::event_id,
    statement::Cached,
    work::{OrBroken, Trace},
};
use crate::failure::Broken;

/// One event, before it has an id. Built by `audit::event`, which owns the closed list of actions.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Kind of the session concerned (`visitor`, `user`, …), or `server`.
    pub kind: &'static str,
    pub session_id: Option<Uuid>,
    /// `user`, `visitor`, `client`, `operator` or `server`.
    pub actor: &'static str,
    pub user_id: Option<Uuid>,
    pub client_id: Option<String>,
    pub action: &'static str,
    /// `done` or `refused`.
    pub outcome: &'static str,
    pub reason: Option<String>,
    pub detail: Option<Value>,
}

impl AuditEvent {
    /// Adds a member to the detail.
    pub(super) fn add_fact(&mut self, name: &str, fact: Value) {
        if let Value::Object(detail) = self.detail.get_or_insert_with(|| json!({})) {
            detail.insert(name.to_owned(), fact);
        }
    }
}

/// The columns that every writer fills, as a record definition for `jsonb_to_recordset`.
macro_rules! event_rows {
    ($parameter:literal) => {
        concat!(
            "SELECT e.id, e.at, e.kind, e.session_id, e.actor, e.user_id, e.client_id, e.action, e.outcome, e.reason, \
             e.detail, decode(e.source_hash, 'hex'), decode(e.agent_hash, 'hex'), e.trace FROM jsonb_to_recordset(",
            $parameter,
            ") AS e(id uuid, at timestamptz, kind text, session_id uuid, actor text, user_id uuid, client_id text, \
             action text, outcome text, reason text, detail jsonb, source_hash text, agent_hash text, trace text)"
        )
    };
}

/// `INSERT` of the events that a query gives.
macro_rules! insert_events {
    ($rows:expr) => {
        concat!(
            "INSERT INTO audit_events (id, at, kind, session_id, actor, user_id, client_id, action, outcome, reason, \
             detail, source_hash, agent_hash, trace) ",
            $rows
        )
    };
}

/// `INSERT` of the one event that [`with_event`] binds, as a CTE of the statement that makes the change: only if the gate, the
/// name of a CTE, has a row.
macro_rules! insert_event {
    ($gate:literal) => {
        $crate::db::audit_events::insert_events!(concat!(
            "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM ",
            $gate
        ))
    };
}

/// `INSERT` of the events of the changes that a query gives ([`batch`](super::batch)), as a CTE.
macro_rules! insert_events_of {
    ($changes:literal) => {
        $crate::db::audit_events::insert_events!(concat!(
            "SELECT event_id, at, kind, event_session_id, actor, event_user_id, event_client_id, action, outcome, reason, \
             detail, source_hash, agent_hash, trace FROM ",
            $changes
        ))
    };
}
pub(super) use {insert_event, insert_events, insert_events_of};

/// A statement that makes a change and tells it in the unit's latest event. The event is `$1` to `$14`, so the statement's
/// own parameters begin at `$15`, and `$2` is the instant. Typed columns cost PostgreSQL a third of what a JSON value of
/// them does ([`insert`]). Changes that may come several at a time are [`batch`](super::batch)'s.
pub(super) fn with_event<'q>(
    tx: &mut Tx,
    statement: &'static str,
) -> Result<BoxedSqlQuery<'q, Pg, diesel::query_builder::SqlQuery>, Broken> {
    let (sequence, event) = tx.take_event()?;
    let trace = tx.trace.clone();
    Ok(diesel::sql_query(statement)
        .into_boxed()
        .bind::<SqlUuid, _>(event_id(tx.now, sequence))
        .bind::<Timestamptz, _>(tx.now)
        .bind::<Text, _>(event.kind)
        .bind::<Nullable<SqlUuid>, _>(event.session_id)
        .bind::<Text, _>(event.actor)
        .bind::<Nullable<SqlUuid>, _>(event.user_id)
        .bind::<Nullable<Text>, _>(event.client_id)
        .bind::<Text, _>(event.action)
        .bind::<Text, _>(event.outcome)
        .bind::<Nullable<Text>, _>(event.reason)
        .bind::<Nullable<Jsonb>, _>(event.detail)
        .bind::<Nullable<Bytea>, _>(trace.source_hash)
        .bind::<Nullable<Bytea>, _>(trace.agent_hash)
        .bind::<Text, _>(trace.request_id))
}

pub(super) fn as_rows(events: Vec<(usize, AuditEvent)>, now: DateTime<Utc>, trace: &Trace) -> Value {
    let hex = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| hex(bytes));
    Value::Array(
        events
            .into_iter()
            .map(|(sequence, event)| {
                json!({
                    "id": event_id(now, sequence), "at": now, "kind": event.kind, "session_id": event.session_id, "actor": event.actor,
                    "user_id": event.user_id, "client_id": event.client_id, "action": event.action,
                    "outcome": event.outcome, "reason": event.reason, "detail": event.detail,
                    "source_hash": hex(&trace.source_hash), "agent_hash": hex(&trace.agent_hash), "trace": trace.request_id,
                })
            })
            .collect(),
    )
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Writes the unit's events by themselves.
pub(super) async fn insert(tx: &mut Tx) -> Result<(), Broken> {
    let rows = tx.take_events();
    Cached(diesel::sql_query(insert_events!(event_rows!("$1"))).bind::<Jsonb, _>(rows))
        .execute(&mut tx.conn())
        .await
        .or_broken("write audit events")?;
    Ok(())
}

/// An event as `audit export` prints it: one JSON object.
#[derive(Debug, Serialize, QueryableByName)]
pub struct ExportedEvent {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub session: Option<Uuid>,
    #[diesel(sql_type = Text)]
    pub actor: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub user: Option<Uuid>,
    /// What the person is called today; none where there is no such person any more.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub client: Option<String>,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub detail: Option<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    pub trace: Option<String>,
    /// Keyed hashes of where it came from: the same for the same network and the same agent.
    #[diesel(sql_type = Nullable<Text>)]
    pub source: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub agent: Option<String>,
}

/// The columns of [`ExportedEvent`].
macro_rules! exported_columns {
    () => {
        "id, at, kind, session_id AS session, actor, user_id AS user, (SELECT username FROM users WHERE users.id = user_id) \
         AS user_name, client_id AS client, action, outcome, reason, detail, trace, encode(source_hash, 'hex') AS source, encode(agent_hash, 'hex') AS agent"
    };
}

/// Which events to read. Only what is asked for becomes a condition, so that an index can answer it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Every event comes after this id.
    pub after: Uuid,
    /// A kind of session, or `server`.
    pub kind: Option<String>,
    pub session_id: Option<Uuid>,
    pub person: Option<WantedPerson>,
    pub action: Option<String>,
    /// The keyed hash of a source.
    pub source_hash: Option<Vec<u8>>,
}

/// Whose events to read.
#[derive(Clone, Debug)]
pub struct WantedPerson {
    /// None where nobody has the name.
    pub id: Option<Uuid>,
    /// The keyed hash under which a refused sign-in keeps the name that was typed.
    pub account: String,
}

impl Wanted {
    /// The conditions beside `id > $1`, on `$2` to `$7`.
    fn conditions(&self) -> String {
        let person = self.person.as_ref().map(|person| match person.id {
            Some(_) => " AND (user_id = $4 OR action = 'sign_in' AND detail->>'account' = $5)",
            None => " AND action = 'sign_in' AND detail->>'account' = $5",
        });
        let asked = [
            self.kind.as_ref().map(|_| " AND kind = $2"),
            self.session_id.map(|_| " AND session_id = $3"),
            person,
            self.action.as_ref().map(|_| " AND action = $6"),
            self.source_hash.as_ref().map(|_| " AND source_hash = $7"),
        ];
        asked.into_iter().flatten().collect()
    }

    /// A statement with `$1` to `$7` bound.
    fn bound<'q>(&self, statement: String) -> BoxedSqlQuery<'q, Pg, diesel::query_builder::SqlQuery> {
        let person = self.person.clone();
        diesel::sql_query(statement)
            .into_boxed()
            .bind::<SqlUuid, _>(self.after)
            .bind::<Nullable<Text>, _>(self.kind.clone())
            .bind::<Nullable<SqlUuid>, _>(self.session_id)
            .bind::<Nullable<SqlUuid>, _>(person.as_ref().and_then(|person| person.id))
            .bind::<Nullable<Text>, _>(person.map(|person| person.account))
            .bind::<Nullable<Text>, _>(self.action.clone())
            .bind::<Nullable<Bytea>, _>(self.source_hash.clone())
    }
}

/// A page of the audit log in the order of ids.
///
/// UUIDv7 order is not commit order, so rows that were written while an older transaction was running are left for the next reading. A
/// transaction that this cluster has not begun wrote nothing that is visible here: a row with such a number came with a
/// restored dump, and nobody writes before it any more.
pub async fn load_after(tx: &mut Tx, wanted: &Wanted, limit: i64) -> Result<Vec<ExportedEvent>, Broken> {
    let statement = format!(
        concat!(
            "SELECT ",
            exported_columns!(),
            " FROM audit_events WHERE id > $1{} AND (xid < pg_snapshot_xmin(pg_current_snapshot()) \
                OR xid >= pg_snapshot_xmax(pg_current_snapshot())) ORDER BY id LIMIT $8",
        ),
        wanted.conditions()
    );
    Cached(wanted.bound(statement).bind::<diesel::sql_types::BigInt, _>(limit))
        .load(&mut tx.conn())
        .await
        .or_broken("read audit events")
}

/// The keyed hash of the source of an event. `None`: there is no such event; `Some(None)`: it has no source.
pub async fn find_source(tx: &mut Tx, id: Uuid) -> Result<Option<Option<Vec<u8>>>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Bytea>)]
        source_hash: Option<Vec<u8>>,
    }
    let rows: Vec<Row> =
        Cached(diesel::sql_query("SELECT source_hash FROM audit_events WHERE id = $1").bind::<SqlUuid, _>(id))
            .load(&mut tx.conn())
            .await
            .or_broken("find the source of an event")?;
    Ok(rows.into_iter().next().map(|row| row.source_hash))
}

/// Where the trail ended at some moment: whatever was written until then is before it.
pub struct End(String);

pub async fn find_end(tx: &mut Tx) -> Result<End, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        xmax: String,
    }
    let row: Row = diesel::sql_query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax")
        .get_result(&mut tx.conn())
        .await
        .or_broken("find the end of the trail")?;
    Ok(End(row.xmax))
}

/// Whether nobody writes before this end any more, so that [`load_after`] reads up to it.
pub async fn is_settled(tx: &mut Tx, end: &End) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        settled: bool,
    }
    let row: Row = diesel::sql_query("SELECT pg_snapshot_xmin(pg_current_snapshot()) >= $1::xid8 AS settled")
        .bind::<Text, _>(&end.0)
        .get_result(&mut tx.conn())
        .await
        .or_broken("look whether the trail is settled")?;
    Ok(row.settled)
}

/// How many events that are written, before this end, [`load_after`] leaves for the next reading.
pub async fn count_held_back(tx: &mut Tx, end: &End, wanted: &Wanted) -> Result<i64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        held_back: i64,
    }
    let statement = format!(
        "SELECT count(*) AS held_back FROM audit_events WHERE id > $1{} \
         AND xid >= pg_snapshot_xmin(pg_current_snapshot()) AND xid < pg_snapshot_xmax(pg_current_snapshot()) \
         AND xid < $8::xid8",
        wanted.conditions()
    );
    let row: Row = wanted
        .bound(statement)
        .bind::<Text, _>(end.0.clone())
        .get_result(&mut tx.conn())
        .await
        .or_broken("count the events that are held back")?;
    Ok(row.held_back)
}

/// What happened in a session, in order: its newest `limit` events, for people who look at it now. A reader that must not
/// miss one takes [`load_after`].
///
/// A privileged session's begins before it does: with what led to it, told in its parent since the privileged session before
/// this one died.
pub async fn load_timeline(tx: &mut Tx, session_id: Uuid, limit: i64) -> Result<Vec<ExportedEvent>, Broken> {
    Cached(
        diesel::sql_query(concat!(
            "WITH own AS (SELECT s.parent_id, least(s.ended_at, s.expires_at, a.last_seen_at + s.idle_timeout) AS until \
                 FROM sessions s JOIN session_activity a ON a.session_id = s.id WHERE s.id = $1), \
             before AS (SELECT max(least(s.ended_at, s.expires_at, a.last_seen_at + s.idle_timeout)) AS until \
                 FROM own JOIN sessions s ON s.parent_id = own.parent_id JOIN session_activity a ON a.session_id = s.id \
                 WHERE s.id < $1) \
             SELECT * FROM (SELECT ",
            exported_columns!(),
            " FROM audit_events WHERE session_id = $1 OR (session_id = (SELECT parent_id FROM own) AND kind = 'privileged' \
                 AND at > coalesce((SELECT until FROM before), '-infinity') AND at <= (SELECT until FROM own)) \
             ORDER BY id DESC LIMIT $2) newest ORDER BY id",
        ))
        .bind::<SqlUuid, _>(session_id)
        .bind::<diesel::sql_types::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("read the timeline of a session")
}
