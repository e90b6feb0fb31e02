//! Locks of sessions: one UPDATE of one row, and whatever hangs on it is refused for as long as it is locked. That it is
//! refused is `live_sessions`' to say, and nobody has to look here.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// What was locked or unlocked, for the audit.
#[derive(Clone, Debug, QueryableByName)]
pub struct ChangedSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub client_id: Option<String>,
}

/// Locks a session. `None` when it is locked already, has ended, or never was.
pub async fn lock(tx: &mut Tx, id: Uuid, reason: &str) -> Result<Option<ChangedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<ChangedSession> = Cached(
        diesel::sql_query(
            "UPDATE sessions SET locked_at = $2, lock_reason = $3 WHERE id = $1 AND ended_at IS NULL \
             AND locked_at IS NULL RETURNING id, kind, user_id, client_id",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("lock session")?;
    Ok(rows.into_iter().next())
}

/// Unlocks a session. Nobody could be active in it while it was locked, so that time does not count as idle; its absolute
/// end stays. `None` when it is not locked, has ended, or never was.
pub async fn unlock(tx: &mut Tx, id: Uuid) -> Result<Option<ChangedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<ChangedSession> = Cached(
        diesel::sql_query(
            "WITH before AS (SELECT id, locked_at FROM sessions WHERE id = $1), \
             unlocked AS (UPDATE sessions SET locked_at = NULL, lock_reason = NULL WHERE id = $1 AND ended_at IS NULL \
                 AND locked_at IS NOT NULL RETURNING id, kind, user_id, client_id), \
             resumed AS (UPDATE session_activity a SET last_seen_at = least($2, a.last_seen_at + ($2 - b.locked_at)) \
                 FROM unlocked u, before b WHERE a.session_id = $1) \
             SELECT id, kind, user_id, client_id FROM unlocked",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("unlock session")?;
    Ok(rows.into_iter().next())
}

/// What an old cookie's secret is checked against, whatever became of its session.
#[derive(Clone, Debug, QueryableByName)]
pub struct CookieSession {
    #[diesel(sql_type = sql::Integer)]
    pub secret_generation: i32,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    /// Since when it is locked; `None` where it is not, or has ended since.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub locked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub lock_reason: Option<String>,
}

/// A cookie's session that is not live.
pub async fn find_cookie_session(tx: &mut Tx, id: Uuid) -> Result<Option<CookieSession>, Broken> {
    let now = tx.now;
    let rows: Vec<CookieSession> = Cached(
        diesel::sql_query(
            "SELECT secret_generation, user_id, CASE WHEN ended_at IS NULL AND expires_at > $2 THEN locked_at END AS locked_at, \
             lock_reason FROM sessions WHERE id = $1",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find the session of a cookie")?;
    Ok(rows.into_iter().next())
}

/// A session that a cookie names, as far as it takes to choose among several cookies.
#[derive(Clone, Debug, QueryableByName)]
pub struct NamedSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Integer)]
    pub secret_generation: i32,
    #[diesel(sql_type = sql::Bool)]
    pub is_live: bool,
    #[diesel(sql_type = sql::Bool)]
    pub is_locked: bool,
}

/// The sessions of these ids, whatever became of them; none for an id that never was.
pub async fn load_named(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<NamedSession>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "SELECT s.id, s.secret_generation, live.id IS NOT NULL AS is_live, \
             s.locked_at IS NOT NULL AND s.ended_at IS NULL AND s.expires_at > $2 AS is_locked \
             FROM sessions s LEFT JOIN LATERAL (SELECT l.id FROM live_sessions($2) l WHERE l.id = s.id OFFSET 0) live ON true \
             WHERE s.id = ANY($1)",
        )
        .bind::<sql::Array<sql::Uuid>, _>(ids)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load the sessions of several cookies")
}
