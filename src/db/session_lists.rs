//! Sessions as operators and the account page see them. Not for deciding what is live for a credential.

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
    /// Only those that are, or are not, offline access.
    pub offline: Option<bool>,
    /// Only those that began before this one.
    pub before: Option<Uuid>,
    pub limit: i64,
}

/// What is listed of a session `s`.
const LISTED: &str = "SELECT s.id, s.kind, s.parent_id, s.visitor_id, s.user_id, u.username, s.client_id, s.acr, s.auth_time, \
     s.created_at, a.last_seen_at, s.expires_at, s.locked_at, s.lock_reason, s.ended_at, s.end_reason, s.end_note, a.place, a.device, \
     l.id IS NOT NULL AS live, coalesce(k.clients, '{}') AS clients, coalesce(k.sids, '{}') AS sids";

/// Where the rest of it is.
const WITH_THE_REST: &str = " JOIN LATERAL (SELECT last_seen_at, place, device FROM session_activity WHERE session_id = s.id OFFSET 0) a ON true \
     LEFT JOIN LATERAL (SELECT username FROM users WHERE id = s.user_id OFFSET 0) u ON true \
     LEFT JOIN LATERAL (SELECT id FROM live_sessions($1) WHERE id = s.id OFFSET 0) l ON true \
     LEFT JOIN LATERAL (SELECT array_agg(c.client_id ORDER BY c.joined_at) AS clients, \
         array_agg(c.sid ORDER BY c.joined_at) AS sids FROM session_clients c WHERE c.session_id = s.id) k ON true \
     WHERE true";

/// Kinds of sessions that are a client's own.
const OWN: [&str; 3] = ["service", "offline", "device"];

impl Filter<'_> {
    /// Only what is asked for is said, so that an index can answer it: planned for every filter at once, each list would read all
    /// sessions. Whatever leads to the sessions leads to them newest first, so that a list ends when it is full.
    fn statement(&self) -> String {
        let by_client = self.client_id.is_some() && self.user_id.is_none() && self.id.is_none();
        let sessions = if by_client { self.of_client() } else { " FROM sessions s".to_owned() };
        let mut statement = [LISTED, &sessions, WITH_THE_REST].concat();
        let took_part = " AND (s.client_id = $4 OR EXISTS (SELECT FROM session_clients c WHERE c.session_id = s.id \
                         AND c.client_id = $4 OFFSET 0))";
        for (asked, condition) in [
            (self.id.is_some(), " AND s.id = $2"),
            (self.user_id.is_some(), " AND s.user_id = $3"),
            (self.client_id.is_some() && !by_client, took_part),
            (self.kind.is_some(), " AND s.kind = $5"),
            (self.offline == Some(true), " AND s.kind = 'offline'"),
            (self.offline == Some(false), " AND s.kind <> 'offline'"),
            (self.live_only, " AND s.ended_at IS NULL AND l.id IS NOT NULL"),
            (self.before.is_some() && !by_client, " AND s.id < $7"),
        ] {
            statement.push_str(if asked { condition } else { "" });
        }
        statement.push_str(match (by_client, self.user_id) {
            (true, _) => " ORDER BY of_client.id DESC",
            // As by the key, which the next page begins at. In the order of its key itself a table is read through in the hope of finding
            // enough soon.
            (false, Some(_)) => " ORDER BY uuid_send(s.id) DESC",
            (false, None) => " ORDER BY s.id DESC",
        });
        statement.push_str(" LIMIT $6");
        statement
    }

    /// Those that the client took part in, and its own. Each part is in order by itself (`OFFSET 0` keeps it a part), so that they are
    /// merged as they are read, and reading ends when the list is full.
    fn of_client(&self) -> String {
        let before = |id: &str| if self.before.is_some() { format!(" AND {id} < $7") } else { String::new() };
        let mut parts = vec![format!(
            "(SELECT session_id AS id FROM session_clients WHERE client_id = $4{} ORDER BY session_id DESC OFFSET 0)",
            before("session_id")
        )];
        for kind in OWN.iter().filter(|own| self.kind.is_none_or(|kind| kind == **own)) {
            parts.push(format!(
                "(SELECT o.id FROM sessions o WHERE o.client_id = $4 AND o.kind = '{kind}'{} AND NOT EXISTS (SELECT FROM \
                 session_clients c WHERE c.session_id = o.id AND c.client_id = $4 OFFSET 0) ORDER BY o.id DESC OFFSET 0)",
                before("o.id")
            ));
        }
        format!(
            " FROM ({}) of_client JOIN LATERAL (SELECT * FROM sessions WHERE id = of_client.id OFFSET 0) s ON true",
            parts.join(" UNION ALL ")
        )
    }
}

pub async fn load(tx: &mut Tx, filter: &Filter<'_>) -> Result<Vec<ListedSession>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(filter.statement())
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
