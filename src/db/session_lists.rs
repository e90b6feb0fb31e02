//! Sessions as operators, the account page and the metrics see them. Not for deciding what is live for a credential.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A session as operators and the account page see it.
#[derive(Clone, Debug, Serialize, QueryableByName)]
pub struct ListedSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub parent_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub visitor_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub client_id: Option<String>,
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub locked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub lock_reason: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub end_reason: Option<String>,
    /// What was said with it, where it was ended by hand.
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub end_note: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub place: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub device: Option<String>,
    #[diesel(sql_type = sql::Bool)]
    pub live: bool,
    /// The relying parties that took part, as `client_id`s.
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub clients: Vec<String>,
    /// Under which `sid` each of `clients` knows it.
    #[diesel(sql_type = sql::Array<sql::Uuid>)]
    pub sids: Vec<Uuid>,
}

/// Which sessions to list; newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    pub id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub client_id: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub live_only: bool,
    /// Only those that began before this one.
    pub before: Option<Uuid>,
    pub limit: i64,
}

/// Sessions with all that is listed of them; conditions follow.
const LISTED: &str = "SELECT s.id, s.kind, s.parent_id, s.visitor_id, s.user_id, u.username, s.client_id, s.acr, s.auth_time, \
     s.created_at, a.last_seen_at, s.expires_at, s.locked_at, s.lock_reason, s.ended_at, s.end_reason, s.end_note, a.place, a.device, \
     l.id IS NOT NULL AS live, coalesce(k.clients, '{}') AS clients, coalesce(k.sids, '{}') AS sids FROM sessions s \
     JOIN LATERAL (SELECT last_seen_at, place, device FROM session_activity WHERE session_id = s.id OFFSET 0) a ON true \
     LEFT JOIN LATERAL (SELECT username FROM users WHERE id = s.user_id OFFSET 0) u ON true \
     LEFT JOIN LATERAL (SELECT id FROM live_sessions($1) WHERE id = s.id OFFSET 0) l ON true \
     LEFT JOIN LATERAL (SELECT array_agg(c.client_id ORDER BY c.joined_at) AS clients, \
         array_agg(c.sid ORDER BY c.joined_at) AS sids FROM session_clients c WHERE c.session_id = s.id) k ON true \
     WHERE true";

pub async fn load(tx: &mut Tx, filter: &Filter<'_>) -> Result<Vec<ListedSession>, Broken> {
    // Only what is asked for is said, so that an index can answer it: planned for every filter at once, each list would
    // read all sessions.
    let mut statement = LISTED.to_owned();
    for (asked, condition) in [
        (filter.id.is_some(), " AND s.id = $2"),
        (filter.user_id.is_some(), " AND s.user_id = $3"),
        (filter.client_id.is_some(), " AND (s.client_id = $4 OR $4 = ANY (k.clients))"),
        (filter.kind.is_some(), " AND s.kind = $5"),
        (filter.live_only, " AND s.ended_at IS NULL AND l.id IS NOT NULL"),
        (filter.before.is_some(), " AND s.id < $7"),
    ] {
        statement.push_str(if asked { condition } else { "" });
    }
    // In the order of its key a table is read through in the hope of finding enough soon.
    statement.push_str(if filter.user_id.is_some() { " ORDER BY s.created_at DESC" } else { " ORDER BY s.id DESC" });
    statement.push_str(" LIMIT $6");
    let now = tx.now;
    Cached(
        diesel::sql_query(statement)
            .bind::<sql::Timestamptz, _>(now)
            .bind::<sql::Nullable<sql::Uuid>, _>(filter.id)
            .bind::<sql::Nullable<sql::Uuid>, _>(filter.user_id)
            .bind::<sql::Nullable<sql::Text>, _>(filter.client_id)
            .bind::<sql::Nullable<sql::Text>, _>(filter.kind)
            .bind::<sql::BigInt, _>(filter.limit)
            .bind::<sql::Nullable<sql::Uuid>, _>(filter.before),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("list sessions")
}

/// Live sessions by kind, for the metrics.
pub async fn count_live(tx: &mut Tx) -> Result<Vec<(String, i64)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Text)]
        kind: String,
        #[diesel(sql_type = sql::BigInt)]
        live: i64,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query("SELECT kind, count(*) AS live FROM live_sessions($1) GROUP BY kind")
            .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count live sessions")?;
    Ok(rows.into_iter().map(|row| (row.kind, row.live)).collect())
}
