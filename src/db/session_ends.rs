//! Ends of sessions: one UPDATE of one row, whatever hangs on it, and in the same statement what others must be told of
//! it (invariant 3). Not for what is live, which the schema says.

use chrono::TimeDelta;
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx,
    notices::queue_logouts,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// What was ended, for the audit.
#[derive(Clone, Debug, QueryableByName)]
pub struct EndedSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub client_id: Option<String>,
    #[diesel(sql_type = sql::Text)]
    pub end_reason: String,
}

impl Joined for EndedSession {
    const KEY: &'static str = "id";
}

#[derive(QueryableByName)]
struct EndedRow {
    #[diesel(embed)]
    session: EndedSession,
    #[diesel(sql_type = sql::BigInt)]
    queued: i64,
}

/// What of an UPDATE the rest of its statement needs: the CTE `ended`, then what is told of it.
macro_rules! and_tell {
    () => {
        concat!(
            " RETURNING id, kind, user_id, client_id, ended_at, end_reason), queued AS (",
            queue_logouts!(),
            ") SELECT e.id, e.kind, e.user_id, e.client_id, e.end_reason, (SELECT count(*) FROM queued) AS queued FROM ended e"
        )
    };
}

fn told(tx: &mut Tx, rows: Vec<EndedRow>) -> Vec<EndedSession> {
    tx.queued(rows.as_slice().first().is_some_and(|row| row.queued > 0));
    rows.into_iter().map(|row| row.session).collect()
}

/// Ends a session: one UPDATE of one row, whatever hangs on it. `note` is what somebody said who ended it for another. `None`
/// when it was ended already or never was.
pub async fn end(
    tx: &mut Tx,
    id: Uuid,
    reason: &'static str,
    note: Option<&str>,
) -> Result<Option<EndedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<EndedRow> = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (UPDATE sessions SET ended_at = $2, end_reason = $3, end_note = $4 WHERE id = $1 \
             AND ended_at IS NULL",
            and_tell!()
        ))
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason)
        .bind::<sql::Nullable<sql::Text>, _>(note),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end session")?;
    Ok(told(tx, rows).into_iter().next())
}

/// Ends the person's sessions except `keep`; offline ones too when `offline`.
pub async fn end_of_user(
    tx: &mut Tx,
    user_id: Uuid,
    keep: Option<Uuid>,
    offline: bool,
    (reason, note): (&'static str, Option<&str>),
) -> Result<Vec<EndedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<EndedRow> = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (UPDATE sessions SET ended_at = $2, end_reason = $3, end_note = $6 WHERE user_id = $1 \
             AND ended_at IS NULL AND ($4 IS NULL OR (id <> $4 AND parent_id IS DISTINCT FROM $4)) AND ($5 OR kind <> 'offline')",
            and_tell!()
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason)
        .bind::<sql::Nullable<sql::Uuid>, _>(keep)
        .bind::<sql::Bool, _>(offline)
        .bind::<sql::Nullable<sql::Text>, _>(note),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end sessions of user")?;
    Ok(told(tx, rows))
}

/// Ends those of the person's live sessions of this kind that are more than `most`: of the client that has most of them, the
/// one that was idle longest, and so on, so that no client ends what is another's while it has more itself. A browser's sessions
/// are of no client. Two that begin at once wait for one another. What is locked stays as it is.
pub async fn end_beyond(
    tx: &mut Tx,
    user_id: Uuid,
    kind: &str,
    most: u32,
    reason: &str,
) -> Result<Vec<EndedSession>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('mooring.sessions'), hashtext($1::text))")
            .bind::<sql::Uuid, _>(user_id),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("wait for another sign-in")?;
    let rows: Vec<EndedRow> = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE ended_at IS NULL AND id = ANY (ARRAY(\
             SELECT o.id FROM (SELECT s.id, l.last_seen_at, \
                 row_number() OVER (PARTITION BY s.client_id ORDER BY l.last_seen_at DESC, s.id DESC) AS place \
                 FROM sessions s \
                 JOIN LATERAL (SELECT last_seen_at FROM live_sessions($2) WHERE id = s.id OFFSET 0) l ON true \
                 WHERE s.user_id = $1 AND s.kind = $4 AND s.ended_at IS NULL) o \
             ORDER BY o.place, o.last_seen_at DESC, o.id DESC OFFSET $5))",
            and_tell!()
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason)
        .bind::<sql::Text, _>(kind)
        .bind::<sql::BigInt, _>(i64::from(most)),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end sessions that are too many")?;
    Ok(told(tx, rows))
}

/// Ends the person's privileged sessions.
pub async fn end_privileged_of_user(
    tx: &mut Tx,
    user_id: Uuid,
    reason: &'static str,
) -> Result<Vec<EndedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<EndedRow> = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE user_id = $1 AND ended_at IS NULL \
             AND kind = 'privileged'",
            and_tell!()
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end privileged sessions of user")?;
    Ok(told(tx, rows))
}

/// Ends the person's privileged sessions that rest on a credential that has died.
pub async fn end_unproved_of_user(tx: &mut Tx, user_id: Uuid, reason: &str) -> Result<Vec<EndedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<EndedRow> = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE user_id = $1 AND ended_at IS NULL \
             AND kind = 'privileged' AND proof_lost_at IS NOT NULL",
            and_tell!()
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end unproved sessions of user")?;
    Ok(told(tx, rows))
}

/// How long a session has been dead before it is told: another replica's clock may be behind, and a request that came
/// in time may still be noting its activity.
const MARGIN: TimeDelta = TimeDelta::seconds(10);

/// Ends what died by itself: expired, idle, or with its person, client or parent. Looks at no more than `limit` sessions,
/// of those that may have died by now, and leaves the ones that somebody else is looking at. Returns how many it looked
/// at, and what it ended.
///
/// A visitor who took part nowhere is left to be swept: nobody has to be told. What is locked is not dead, and its idle time
/// stands still.
pub async fn end_dead(tx: &mut Tx, limit: i64) -> Result<(i64, Vec<EndedSession>), Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        looked: i64,
        #[diesel(sql_type = sql::BigInt)]
        queued: i64,
        #[diesel(embed)]
        session: Maybe<EndedSession>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            // What a row needs of another table is a sub-select by its key: joined, PostgreSQL would read that table through,
            // for it plans this once and knows of no parameter how few rows it leaves.
            "WITH looked AS (SELECT id, kind, parent_id, user_id, client_id, epoch, expires_at, idle_timeout, locked_at, \
                 proof_lost_at FROM sessions \
                 WHERE ended_at IS NULL AND look_at < 'infinity' AND look_at <= $1 ORDER BY look_at LIMIT $2 \
                 FOR NO KEY UPDATE SKIP LOCKED), \
             judged AS (SELECT s.id, s.kind = 'visitor' AND l.id IS NULL AND k.client_id IS NULL AS forgotten, \
                 CASE WHEN l.id IS NOT NULL OR (s.kind = 'visitor' AND k.client_id IS NULL) THEN NULL \
                      WHEN u.disabled_at IS NOT NULL THEN 'user_disabled' \
                      WHEN s.epoch < u.session_epoch THEN 'ended_with_user' \
                      WHEN c.disabled_at IS NOT NULL THEN 'client_disabled' \
                      WHEN s.user_id IS NULL AND s.epoch < c.session_epoch THEN 'ended_with_client' \
                      WHEN s.expires_at <= $1 THEN 'expired' \
                      WHEN s.kind = 'privileged' AND s.proof_lost_at IS NOT NULL AND s.locked_at IS NULL THEN 'credential_removed' \
                      WHEN s.locked_at IS NULL AND a.last_seen_at + s.idle_timeout <= $1 THEN 'idle' \
                      WHEN p.ended_at IS NOT NULL OR p.expires_at <= $1 OR (p.locked_at IS NULL AND pa.last_seen_at + p.idle_timeout <= $1) \
                      THEN 'ended_with_parent' END AS reason, \
                 greatest(least(s.expires_at, a.last_seen_at + s.idle_timeout, pa.last_seen_at + p.idle_timeout), \
                     $1 + interval '1 minute') AS next \
                 FROM looked s \
                 LEFT JOIN LATERAL (SELECT last_seen_at FROM session_activity WHERE session_id = s.id OFFSET 0) a ON true \
                 LEFT JOIN LATERAL (SELECT id FROM live_sessions($1) WHERE id = s.id OFFSET 0) l ON true \
                 LEFT JOIN LATERAL (SELECT ended_at, expires_at, locked_at, idle_timeout FROM sessions \
                     WHERE id = s.parent_id OFFSET 0) p ON true \
                 LEFT JOIN LATERAL (SELECT last_seen_at FROM session_activity WHERE session_id = s.parent_id OFFSET 0) pa ON true \
                 LEFT JOIN LATERAL (SELECT disabled_at, session_epoch FROM users WHERE id = s.user_id OFFSET 0) u ON true \
                 LEFT JOIN LATERAL (SELECT disabled_at, session_epoch FROM clients WHERE client_id = s.client_id OFFSET 0) c ON true \
                 LEFT JOIN LATERAL (SELECT client_id FROM session_clients WHERE session_id = s.id LIMIT 1) k ON true), \
             settled AS (UPDATE sessions s SET look_at = CASE WHEN j.forgotten THEN 'infinity' ELSE j.next END, \
                 ended_at = CASE WHEN j.reason IS NOT NULL THEN $3 END, end_reason = j.reason \
                 FROM judged j WHERE s.id = ANY (ARRAY(SELECT id FROM judged)) AND s.id = j.id \
                 RETURNING s.id, s.kind, s.user_id, s.client_id, s.ended_at, s.end_reason), \
             ended AS (SELECT * FROM settled WHERE ended_at IS NOT NULL), \
             queued AS (",
            queue_logouts!(),
            ") SELECT (SELECT count(*) FROM looked) AS looked, (SELECT count(*) FROM queued) AS queued, \
             e.id, e.kind, e.user_id, e.client_id, e.end_reason FROM (SELECT 1) one LEFT JOIN ended e ON true"
        ))
        .bind::<sql::Timestamptz, _>(now - MARGIN)
        .bind::<sql::BigInt, _>(limit)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end dead sessions")?;
    let (looked, queued) = rows.as_slice().first().map_or((0, 0), |row| (row.looked, row.queued));
    tx.queued(queued > 0);
    Ok((looked, rows.into_iter().filter_map(|row| row.session.0).collect()))
}

/// Whose sessions died at one stroke, by an epoch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of<'a> {
    User(Uuid),
    Client(&'a str),
}

/// Has [`end_dead`] look at the open sessions of somebody who was just disabled.
pub(super) async fn look_soon(tx: &mut Tx, of: Of<'_>) -> Result<(), Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, QueryDsl};
    let now = tx.now;
    let open = sessions::table.filter(sessions::ended_at.is_null()).filter(sessions::look_at.gt(now));
    match of {
        Of::User(id) => {
            diesel::update(open.filter(sessions::user_id.eq(id)))
                .set(sessions::look_at.eq(now))
                .execute(&mut tx.conn())
                .await
        }
        Of::Client(id) => {
            diesel::update(open.filter(sessions::client_id.eq(id)))
                .set(sessions::look_at.eq(now))
                .execute(&mut tx.conn())
                .await
        }
    }
    .or_broken("have sessions looked at")?;
    Ok(())
}
