//! Which of `elevation_requests` stand: whether privileged work may go on with what somebody agreed to, or without anybody.
//!
//! An approval *stands* while nothing has ended it and whoever gave it may still approve; that is asked anew each time it
//! is looked at and when it is used, so nothing has to be told when an approver goes.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx,
    elevation_requests::{Elevation, Statement, at_most_one, elevation_columns, is_open},
    statement::Cached,
    work::OrBroken,
};
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

/// Whoever approved `e` may still approve. `$1` is the instant; `$2` to `$4` are [`Approvers`], as [`about`] binds them.
/// Signing out takes nothing back, and time does not; being disabled, no longer being who may approve, "end everything of
/// this person", and a session that is locked or was ended by hand do. So does the death of a credential that proved the session,
/// whether the session lived until then or not; and, as for whoever asks ([`credentials::counts`](super::credentials::counts)),
/// the suspension of any passkey since.
macro_rules! approver_may {
    () => {
        "EXISTS (SELECT FROM users a \
             JOIN LATERAL (SELECT * FROM sessions WHERE id = e.approver_session_id OFFSET 0) s ON true \
             LEFT JOIN LATERAL (SELECT locked_at, end_reason FROM sessions WHERE id = s.parent_id OFFSET 0) p ON true \
             WHERE a.id = e.approver_id AND a.disabled_at IS NULL \
             AND s.epoch >= a.session_epoch AND s.locked_at IS NULL AND p.locked_at IS NULL AND s.proof_lost_at IS NULL \
             AND NOT EXISTS (SELECT FROM credentials c WHERE c.user_id = a.id AND c.suspended_at IS NOT NULL \
                 AND c.suspended_at > e.approved_at) \
             AND NOT EXISTS (SELECT FROM credentials c WHERE c.id = ANY (s.proved_with) \
                 AND (c.suspended_at IS NOT NULL OR c.withdrawn_at IS NOT NULL OR c.changed_at > e.approved_at \
                     OR (c.ended_at IS NOT NULL AND c.kind <> 'recovery'))) \
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

/// Voids those of the open ones that a condition picks and that can come to nothing.
macro_rules! void {
    ($which:literal) => {
        concat!(
            "WITH f AS (SELECT e.id, CASE WHEN e.expires_at <= $1 THEN 'lapsed' WHEN l.id IS NULL THEN 'session_ended' \
                 WHEN e.break_glass_at IS NOT NULL THEN 'break_glass_off' ELSE 'approver_lost_rights' END AS why \
                 FROM elevation_requests e \
                 LEFT JOIN LATERAL (SELECT id FROM live_sessions($1) WHERE id = e.session_id OFFSET 0) l ON true \
                 WHERE ",
            $which,
            " AND ",
            is_open!(),
            " AND (e.expires_at <= $1 OR l.id IS NULL OR (e.break_glass_at IS NOT NULL AND NOT ",
            is_had_alone!(),
            ") OR (e.approved_at IS NOT NULL AND NOT ",
            approver_may!(),
            ")) LIMIT $6 FOR UPDATE OF e SKIP LOCKED) \
             UPDATE elevation_requests e SET voided_at = $1, void_reason = f.why FROM f \
             WHERE e.id = ANY (ARRAY(SELECT id FROM f)) AND e.id = f.id RETURNING ",
            elevation_columns!()
        )
    };
}

/// Voids at most `limit` open ones (of one authorization request only, if it is named) that can come to nothing: lapsed,
/// of a session that has ended, approved by somebody who may not any more, or without anybody where that cannot be any more.
pub async fn void_fallen(
    tx: &mut Tx,
    approvers: &Approvers,
    request_id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Elevation>, Broken> {
    // Of one request by its key, or all that are open: an index holds these alone.
    let statement = match request_id {
        Some(_) => void!("e.request_id = $5"),
        None => void!("$5 IS NULL AND e.expires_at > '-infinity'"),
    };
    Cached(
        about(tx, approvers, statement).bind::<sql::Nullable<sql::Uuid>, _>(request_id).bind::<sql::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("void fallen elevation requests")
}
