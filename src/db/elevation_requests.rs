//! `elevation_requests`: privileged work that waits for a second person, and what became of it. Whether one can be used
//! is not asked here (`elevation_approvals`).

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, pg::Pg, query_builder::BoxedSqlQuery, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Somebody asks.
#[derive(Debug)]
pub struct NewElevation<'a> {
    /// Their user session.
    pub session_id: Uuid,
    pub request_id: Uuid,
    pub user_id: Uuid,
    pub client_id: &'a str,
    /// The privileged scopes.
    pub scope: &'a [String],
    pub reason: &'a str,
    pub minutes: i32,
    /// They go on without a second person.
    pub break_glass: bool,
}

/// One that was asked for, whatever became of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Elevation {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub request_id: Option<Uuid>,
    #[diesel(sql_type = sql::Uuid)]
    pub user_id: Uuid,
    /// What they are called.
    #[diesel(sql_type = sql::Text)]
    pub username: String,
    #[diesel(sql_type = sql::Text)]
    pub client_id: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub scope: Vec<String>,
    #[diesel(sql_type = sql::Text)]
    pub reason: String,
    #[diesel(sql_type = sql::Integer)]
    pub minutes: i32,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub approver_id: Option<Uuid>,
    /// What they are called.
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub approver: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub approved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub refused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub note: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub voided_at: Option<DateTime<Utc>>,
    /// `lapsed`, `withdrawn`, `session_ended`, `approver_lost_rights` or `break_glass_off`.
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub void_reason: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub break_glass_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub privileged_session_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub reviewed_at: Option<DateTime<Utc>>,
}

impl Elevation {
    /// It waits for a second person.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.approver_id.is_none()
            && self.voided_at.is_none()
            && self.break_glass_at.is_none()
            && self.used_at.is_none()
    }
}

pub(super) type Statement<'q> = BoxedSqlQuery<'q, Pg, diesel::query_builder::SqlQuery>;

/// The columns of [`Elevation`], from `elevation_requests e`.
macro_rules! elevation_columns {
    () => {
        "e.id, e.session_id, e.request_id, e.user_id, (SELECT r.username FROM users r WHERE r.id = e.user_id) AS username, \
         e.client_id, e.scope, e.reason, e.minutes, e.created_at, \
         e.expires_at, e.approver_id, (SELECT a.username FROM users a WHERE a.id = e.approver_id) AS approver, \
         e.approved_at, e.refused_at, e.note, e.voided_at, e.void_reason, e.break_glass_at, e.used_at, \
         e.privileged_session_id, e.reviewed_at"
    };
}

/// Nothing has become of `e` yet, but perhaps a decision.
macro_rules! is_open {
    () => {
        "e.refused_at IS NULL AND e.voided_at IS NULL AND e.used_at IS NULL"
    };
}

/// Runs a statement that gives at most one.
pub(super) async fn at_most_one(
    tx: &mut Tx,
    what: &'static str,
    statement: Statement<'_>,
) -> Result<Option<Elevation>, Broken> {
    let rows: Vec<Elevation> = Cached(statement).load(&mut tx.conn()).await.or_broken(what)?;
    Ok(rows.into_iter().next())
}

/// Adds a request; it lapses with the authorization request that waits for it. `None`: one is open for that already, or
/// it cannot be resumed any more.
pub async fn insert(tx: &mut Tx, new: &NewElevation<'_>) -> Result<Option<Elevation>, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let statement = diesel::sql_query(concat!(
        "WITH e AS (INSERT INTO elevation_requests (id, session_id, request_id, user_id, client_id, scope, reason, \
             minutes, created_at, expires_at, break_glass_at) \
             SELECT $1, $3, r.id, $5, $6, $7, $8, $9, $2, r.expires_at, CASE WHEN $10 THEN $2 END \
             FROM authorization_requests r WHERE r.id = $4 AND r.completed_at IS NULL AND r.expires_at > $2 \
             ON CONFLICT (request_id) WHERE refused_at IS NULL AND voided_at IS NULL AND used_at IS NULL DO NOTHING \
             RETURNING *) SELECT ",
        elevation_columns!(),
        " FROM e"
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Timestamptz, _>(now)
    .bind::<sql::Uuid, _>(new.session_id)
    .bind::<sql::Uuid, _>(new.request_id)
    .bind::<sql::Uuid, _>(new.user_id)
    .bind::<sql::Text, _>(new.client_id)
    .bind::<sql::Array<sql::Text>, _>(new.scope)
    .bind::<sql::Text, _>(new.reason)
    .bind::<sql::Integer, _>(new.minutes)
    .bind::<sql::Bool, _>(new.break_glass);
    at_most_one(tx, "insert elevation request", statement).await
}

/// How many of a person's are open.
pub async fn count_open(tx: &mut Tx, user_id: Uuid) -> Result<i64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        open: i64,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            "SELECT count(*) AS open FROM elevation_requests e WHERE e.user_id = $1 AND e.expires_at > $2 AND ",
            is_open!()
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count open elevation requests")?;
    Ok(rows.as_slice().first().map_or(0, |row| row.open))
}

/// How many a person has asked for since then, whatever became of them.
pub async fn count_since(tx: &mut Tx, user_id: Uuid, since: DateTime<Utc>) -> Result<i64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        asked: i64,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query("SELECT count(*) AS asked FROM elevation_requests WHERE user_id = $1 AND created_at > $2 AND expires_at > $2")
            .bind::<sql::Uuid, _>(user_id)
            .bind::<sql::Timestamptz, _>(since),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count elevation requests of late")?;
    Ok(rows.into_iter().next().map_or(0, |row| row.asked))
}

/// The latest one of a person for an authorization request.
pub async fn find_of_request(tx: &mut Tx, request_id: Uuid, user_id: Uuid) -> Result<Option<Elevation>, Broken> {
    let statement = diesel::sql_query(concat!(
        "SELECT ",
        elevation_columns!(),
        " FROM elevation_requests e WHERE e.request_id = $1 AND e.user_id = $2 ORDER BY e.id DESC LIMIT 1"
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(request_id)
    .bind::<sql::Uuid, _>(user_id);
    at_most_one(tx, "find elevation request", statement).await
}

/// A second person's decision.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    pub approver_id: Uuid,
    /// The privileged session in which they decide.
    pub approver_session_id: Uuid,
    pub approve: bool,
    pub note: Option<&'a str>,
}

/// Decides one that is open, undecided and another person's, whose session lives. `None`: it is none of these any more.
pub async fn decide(tx: &mut Tx, id: Uuid, verdict: &Verdict<'_>) -> Result<Option<Elevation>, Broken> {
    let now = tx.now;
    let statement = diesel::sql_query(concat!(
        "UPDATE elevation_requests e SET approver_id = $3, approver_session_id = $4, note = $5, \
             approved_at = CASE WHEN $6 THEN $2 END, refused_at = CASE WHEN $6 THEN NULL ELSE $2 END \
         WHERE e.id = $1 AND e.approver_id IS NULL AND e.break_glass_at IS NULL AND e.user_id <> $3 \
         AND e.expires_at > $2 AND ",
        is_open!(),
        " AND EXISTS (SELECT FROM live_sessions($2) l WHERE l.id = e.session_id) RETURNING ",
        elevation_columns!()
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Timestamptz, _>(now)
    .bind::<sql::Uuid, _>(verdict.approver_id)
    .bind::<sql::Uuid, _>(verdict.approver_session_id)
    .bind::<sql::Nullable<sql::Text>, _>(verdict.note)
    .bind::<sql::Bool, _>(verdict.approve);
    at_most_one(tx, "decide an elevation request", statement).await
}

/// Whoever asked takes it back. `None`: it was used or came to nothing before.
pub async fn withdraw(tx: &mut Tx, id: Uuid, user_id: Uuid) -> Result<Option<Elevation>, Broken> {
    let now = tx.now;
    let statement = diesel::sql_query(concat!(
        "UPDATE elevation_requests e SET voided_at = $3, void_reason = 'withdrawn' WHERE e.id = $1 AND e.user_id = $2 AND ",
        is_open!(),
        " RETURNING ",
        elevation_columns!()
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Uuid, _>(user_id)
    .bind::<sql::Timestamptz, _>(now);
    at_most_one(tx, "withdraw an elevation request", statement).await
}

/// Whoever asked goes on without a second person; nobody has decided yet. `None`: somebody has, or it is over.
pub async fn break_glass(tx: &mut Tx, id: Uuid, user_id: Uuid) -> Result<Option<Elevation>, Broken> {
    let now = tx.now;
    let statement = diesel::sql_query(concat!(
        "UPDATE elevation_requests e SET break_glass_at = $3 WHERE e.id = $1 AND e.user_id = $2 \
         AND e.approver_id IS NULL AND e.break_glass_at IS NULL AND e.expires_at > $3 AND ",
        is_open!(),
        " RETURNING ",
        elevation_columns!()
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Uuid, _>(user_id)
    .bind::<sql::Timestamptz, _>(now);
    at_most_one(tx, "break the glass", statement).await
}

/// Another person has looked at a break-glass. `None`: it was reviewed before, or is their own.
pub async fn review(tx: &mut Tx, id: Uuid, reviewer_id: Uuid, note: Option<&str>) -> Result<Option<Elevation>, Broken> {
    let now = tx.now;
    let statement = diesel::sql_query(concat!(
        "UPDATE elevation_requests e SET reviewed_at = $2, reviewer_id = $3, review_note = $4 WHERE e.id = $1 \
         AND e.break_glass_at IS NOT NULL AND e.reviewed_at IS NULL AND e.user_id <> $3 RETURNING ",
        elevation_columns!()
    ))
    .into_boxed()
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Timestamptz, _>(now)
    .bind::<sql::Uuid, _>(reviewer_id)
    .bind::<sql::Nullable<sql::Text>, _>(note);
    at_most_one(tx, "review a break-glass", statement).await
}

/// Removes at most `limit` that could be used 90 days ago for the last time, but no break-glass that nobody has reviewed.
/// Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM elevation_requests WHERE id = ANY (ARRAY(SELECT id FROM elevation_requests \
             WHERE expires_at < $1 - interval '90 days' \
             AND (break_glass_at IS NULL OR reviewed_at < $1 - interval '90 days') \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep elevation requests")
}

pub(super) use {elevation_columns, is_open};
