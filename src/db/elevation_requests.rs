//! `elevation_requests`: privileged work that waits for a second person, and what became of it.
//!
//! An approval *stands* while nothing has ended it and whoever gave it may still approve; that is asked anew each time it
//! is looked at and when it is used, so nothing has to be told when an approver goes.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, pg::Pg, query_builder::BoxedSqlQuery, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Who may decide: what the scope for it asks of people; and what nobody has without them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvers {
    pub administrators: bool,
    /// Any of them; empty: no group is needed.
    pub groups: Vec<String>,
    /// The scopes that cannot be had alone (any more), in whatever emergency.
    pub indispensable_for: Vec<String>,
}

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

type Statement<'q> = BoxedSqlQuery<'q, Pg, diesel::query_builder::SqlQuery>;

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

/// Whoever approved `e` may still approve. `$1` is the instant; `$2` to `$4` are [`Approvers`], as [`about`] binds them.
/// Signing out takes nothing back, and time does not; being disabled, no longer being who may approve, "end everything of
/// this person", and a session that is locked or was ended by hand do.
macro_rules! approver_may {
    () => {
        "EXISTS (SELECT FROM users a JOIN sessions s ON s.id = e.approver_session_id \
             LEFT JOIN sessions p ON p.id = s.parent_id WHERE a.id = e.approver_id AND a.disabled_at IS NULL \
             AND s.epoch >= a.session_epoch AND s.locked_at IS NULL AND p.locked_at IS NULL \
             AND coalesce(s.end_reason, 'expired') IN ('expired', 'idle', 'signed_out', 'superseded', 'ended_with_parent') \
             AND coalesce(p.end_reason, 'expired') IN ('expired', 'idle', 'signed_out', 'superseded') \
             AND (NOT $2 OR a.admin_at IS NOT NULL) AND (cardinality($3) = 0 OR a.groups && $3))"
    };
}

/// The glass was broken for `e`, and it could be now.
macro_rules! is_had_alone {
    () => {
        "(e.break_glass_at IS NOT NULL AND NOT e.scope && $4)"
    };
}

/// `e` can be used now.
macro_rules! stands {
    () => {
        concat!(
            is_open!(),
            " AND e.expires_at > $1 AND (",
            is_had_alone!(),
            " OR (e.approved_at IS NOT NULL AND ",
            approver_may!(),
            "))"
        )
    };
}

/// A statement whose `$1` to `$4` are the instant, who may approve, and for what they have to.
fn about<'q>(tx: &Tx, approvers: &Approvers, statement: &'static str) -> Statement<'q> {
    diesel::sql_query(statement)
        .into_boxed()
        .bind::<sql::Timestamptz, _>(tx.now)
        .bind::<sql::Bool, _>(approvers.administrators)
        .bind::<sql::Array<sql::Text>, _>(approvers.groups.clone())
        .bind::<sql::Array<sql::Text>, _>(approvers.indispensable_for.clone())
}

/// Runs a statement that gives at most one.
async fn at_most_one(tx: &mut Tx, what: &'static str, statement: Statement<'_>) -> Result<Option<Elevation>, Broken> {
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

/// For whom, and for what, an approval is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// The stored authorization request, if it is stored yet.
    pub request_id: Option<Uuid>,
    pub user_id: Uuid,
    /// The user session at hand.
    pub session_id: Uuid,
    pub client_id: &'a str,
    pub scope: &'a [String],
}

/// A second person has agreed, or was done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Approval {
    /// For how long at most.
    #[diesel(sql_type = sql::Integer)]
    pub minutes: i32,
    /// The live privileged session that it was used for already: in that one, and in no other, the same client may have
    /// the same scopes again until those minutes are over.
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub privileged_session_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub used_at: Option<DateTime<Utc>>,
}

impl Approval {
    /// Until when, where it is used now or was before.
    #[must_use]
    pub fn until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.used_at.unwrap_or(now) + TimeDelta::minutes(self.minutes.into())
    }
}

/// The approval that this need can go on with: that of a live privileged session, or one that stands for the request.
pub async fn find_approval(tx: &mut Tx, approvers: &Approvers, need: &Need<'_>) -> Result<Option<Approval>, Broken> {
    const STATEMENT: &str = concat!(
        "SELECT e.minutes, e.privileged_session_id, e.used_at FROM elevation_requests e WHERE e.user_id = $6 AND e.session_id = $7 \
         AND e.client_id = $8 AND e.scope @> $9 AND ((e.request_id = $5 AND ",
        stands!(),
        ") OR (e.used_at + make_interval(mins => e.minutes) > $1 AND EXISTS (SELECT FROM live_sessions($1) l WHERE l.id = e.privileged_session_id) \
             AND (",
        is_had_alone!(),
        " OR ",
        approver_may!(),
        "))) ORDER BY e.used_at NULLS LAST LIMIT 1"
    );
    let rows: Vec<Approval> = Cached(needed(about(tx, approvers, STATEMENT), need))
        .load(&mut tx.conn())
        .await
        .or_broken("find an approval")?;
    Ok(rows.into_iter().next())
}

/// Binds `$5` to `$9`.
fn needed<'q>(statement: Statement<'q>, need: &Need<'_>) -> Statement<'q> {
    statement
        .bind::<sql::Nullable<sql::Uuid>, _>(need.request_id)
        .bind::<sql::Uuid, _>(need.user_id)
        .bind::<sql::Uuid, _>(need.session_id)
        .bind::<sql::Text, _>(need.client_id.to_owned())
        .bind::<sql::Array<sql::Text>, _>(need.scope.to_vec())
}

/// Uses the one that stands for this need, for a privileged session. `None`: none does, or another has just used it.
pub async fn consume(
    tx: &mut Tx,
    approvers: &Approvers,
    need: &Need<'_>,
    privileged_session_id: Uuid,
) -> Result<Option<Elevation>, Broken> {
    const STATEMENT: &str = concat!(
        "UPDATE elevation_requests e SET used_at = $1, privileged_session_id = $10 WHERE e.request_id = $5 \
         AND e.user_id = $6 AND e.session_id = $7 AND e.client_id = $8 AND e.scope @> $9 AND ",
        stands!(),
        " RETURNING ",
        elevation_columns!()
    );
    let statement = needed(about(tx, approvers, STATEMENT), need).bind::<sql::Uuid, _>(privileged_session_id);
    at_most_one(tx, "use an elevation", statement).await
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

/// Voids at most `limit` open ones (of one authorization request only, if it is named) that can come to nothing: lapsed,
/// of a session that has ended, approved by somebody who may not any more, or without anybody where that cannot be any more.
pub async fn void_fallen(
    tx: &mut Tx,
    approvers: &Approvers,
    request_id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Elevation>, Broken> {
    const STATEMENT: &str = concat!(
        "UPDATE elevation_requests e SET voided_at = $1, void_reason = f.why FROM (SELECT e.id, \
             CASE WHEN e.expires_at <= $1 THEN 'lapsed' WHEN l.id IS NULL THEN 'session_ended' \
             WHEN e.break_glass_at IS NOT NULL THEN 'break_glass_off' ELSE 'approver_lost_rights' END AS why \
             FROM elevation_requests e LEFT JOIN live_sessions($1) l ON l.id = e.session_id \
             WHERE ($5 IS NULL OR e.request_id = $5) AND ",
        is_open!(),
        " AND (e.expires_at <= $1 OR l.id IS NULL OR (e.break_glass_at IS NOT NULL AND NOT ",
        is_had_alone!(),
        ") OR (e.approved_at IS NOT NULL AND NOT ",
        approver_may!(),
        ")) LIMIT $6 FOR UPDATE OF e SKIP LOCKED) f WHERE e.id = f.id RETURNING ",
        elevation_columns!()
    );
    Cached(
        about(tx, approvers, STATEMENT).bind::<sql::Nullable<sql::Uuid>, _>(request_id).bind::<sql::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("void fallen elevation requests")
}

/// Removes at most `limit` that could be used 90 days ago for the last time, but no break-glass that nobody has reviewed.
/// Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM elevation_requests WHERE id IN (SELECT id FROM elevation_requests \
             WHERE expires_at < $1 - interval '90 days' \
             AND (break_glass_at IS NULL OR reviewed_at < $1 - interval '90 days') \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep elevation requests")
}

pub(super) use {elevation_columns, is_open};
