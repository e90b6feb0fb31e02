//! Sessions that ended, removed with all that hung on them once nothing may refer to them any more. What happened in them stays
//! in the audit log. Not for deciding what is live.
//!
//! `look_at` of a session that has ended is when to look at it next: each is looked at when something can be removed, and
//! not at every turn.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, data_types::PgInterval, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How long after its end what a session left is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Its row, with the relying parties that took part.
    pub sessions: TimeDelta,
    /// Its grants: so long a replay of a dead grant's code or refresh token is told from a guess.
    pub grants: TimeDelta,
}

/// How long to wait where something still refers to a session.
const HELD: TimeDelta = TimeDelta::days(1);

/// At most so many grants go with one batch of sessions: one session may have very many.
const GRANTS: usize = 5000;

/// How long a row of `sessions` is kept; `$2` is [`Keep::sessions`]. A visitor who never signed in is of no interest after a day.
macro_rules! kept {
    () => {
        "CASE WHEN kind = 'visitor' AND end_reason <> 'signed_in' THEN least($2, interval '1 day') ELSE $2 END"
    };
}

/// As PostgreSQL takes it.
fn interval(delta: TimeDelta) -> PgInterval {
    PgInterval::from_microseconds(delta.num_microseconds().unwrap_or(i64::MAX))
}

/// A session that has ended, as it is found.
#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = sql::Uuid)]
    id: Uuid,
    /// From when on its grants go.
    #[diesel(sql_type = sql::Timestamptz)]
    grants_go: DateTime<Utc>,
    /// From when on it goes itself.
    #[diesel(sql_type = sql::Timestamptz)]
    goes: DateTime<Utc>,
}

/// Removes what may go of at most `limit` sessions that are to be looked at. Returns how many it looked at.
pub async fn sweep(tx: &mut Tx, keep: Keep, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    let found = load(tx, keep, limit).await?;
    let count = found.len();
    let ids = |which: &dyn Fn(&Ended) -> bool| -> Vec<Uuid> {
        found.iter().filter(|ended| which(ended)).map(|ended| ended.id).collect()
    };
    let (early, half, over) = (
        ids(&|ended| ended.grants_go > now),
        ids(&|ended| ended.grants_go <= now && ended.goes > now),
        ids(&|ended| ended.goes <= now),
    );
    let removed = remove_grants(tx, &[half.clone(), over.clone()].concat()).await?;
    if removed == GRANTS {
        // There may be more: the same sessions are looked at again at once.
        return Ok(usize::try_from(limit).unwrap_or(count));
    }
    postpone(tx, keep, &[early, half].concat()).await?;
    remove(tx, &over).await?;
    Ok(count)
}

async fn load(tx: &mut Tx, keep: Keep, limit: i64) -> Result<Vec<Ended>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(concat!(
            "SELECT id, ended_at + least($3, ",
            kept!(),
            ") AS grants_go, ended_at + ",
            kept!(),
            " AS goes FROM sessions WHERE ended_at IS NOT NULL AND look_at < 'infinity' \
             AND look_at <= $1 ORDER BY look_at LIMIT $4 \
             FOR NO KEY UPDATE SKIP LOCKED"
        ))
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Interval, _>(interval(keep.sessions))
        .bind::<sql::Interval, _>(interval(keep.grants))
        .bind::<sql::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("look at ended sessions")
}

/// Looks again when something can be removed.
async fn postpone(tx: &mut Tx, keep: Keep, ids: &[Uuid]) -> Result<(), Broken> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = tx.now;
    Cached(
        diesel::sql_query(concat!(
            "UPDATE sessions SET look_at = ended_at + CASE WHEN ended_at + least($3, ",
            kept!(),
            ") > $1 THEN least($3, ",
            kept!(),
            ") ELSE ",
            kept!(),
            " END WHERE id = ANY ($4)"
        ))
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Interval, _>(interval(keep.sessions))
        .bind::<sql::Interval, _>(interval(keep.grants))
        .bind::<sql::Array<sql::Uuid>, _>(ids),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("postpone the removal of sessions")?;
    Ok(())
}

/// Removes grants of these sessions, at most [`GRANTS`], but not what hangs on an offline session that is not among them. Returns
/// how many.
async fn remove_grants(tx: &mut Tx, ids: &[Uuid]) -> Result<usize, Broken> {
    if ids.is_empty() {
        return Ok(0);
    }
    Cached(
        diesel::sql_query(
            "WITH gone AS (SELECT id FROM grants WHERE session_id = ANY ($1) AND offline_session_id IS NULL \
                 UNION ALL SELECT id FROM grants WHERE offline_session_id = ANY ($1) LIMIT $2) \
             DELETE FROM grants WHERE id = ANY (ARRAY(SELECT id FROM gone))",
        )
        .bind::<sql::Array<sql::Uuid>, _>(ids)
        .bind::<sql::BigInt, _>(i64::try_from(GRANTS).unwrap_or(i64::MAX)),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("remove grants of ended sessions")
}

/// Removes these sessions with what only they have. One that something still refers to is looked at again tomorrow, or when the
/// last of the sessions that came of it will be over.
async fn remove(tx: &mut Tx, ids: &[Uuid]) -> Result<(), Broken> {
    if ids.is_empty() {
        return Ok(());
    }
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH free AS (SELECT s.id FROM unnest($1) AS s (id) \
                 WHERE NOT EXISTS (SELECT FROM grants r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM grants r WHERE r.offline_session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM grants r WHERE r.privileged_session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM access_tokens r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM sessions r WHERE r.parent_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM sessions r WHERE r.visitor_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM authorization_requests r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM ceremonies r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM notices r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM elevation_requests r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM elevation_requests r WHERE r.approver_session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM elevation_requests r WHERE r.privileged_session_id = s.id OFFSET 0)), \
             held AS (UPDATE sessions s SET look_at = greatest($3, \
                     (SELECT max(c.expires_at) FROM sessions c WHERE c.visitor_id = s.id AND c.ended_at IS NULL)) \
                 WHERE id = ANY ($1) AND id <> ALL (ARRAY(SELECT id FROM free))), \
             proofs AS (DELETE FROM step_ups WHERE session_id = ANY (ARRAY(SELECT id FROM free))), \
             parties AS (DELETE FROM session_clients WHERE session_id = ANY (ARRAY(SELECT id FROM free))), \
             activity AS (DELETE FROM session_activity WHERE session_id = ANY (ARRAY(SELECT id FROM free))) \
             DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM free)) AND ended_at <= $2",
        )
        .bind::<sql::Array<sql::Uuid>, _>(ids)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now + HELD),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("remove ended sessions")?;
    Ok(())
}
