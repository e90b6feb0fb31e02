//! `sessions`, `session_activity` and `session_clients`: what every credential hangs on.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A session that nothing has ended, as `live_sessions` gives it.
#[derive(Clone, Debug, QueryableByName)]
pub struct LiveSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    /// The user or visitor session itself; the parent of a privileged one.
    #[diesel(sql_type = sql::Uuid)]
    pub root_id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub visitor_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Integer)]
    pub secret_generation: i32,
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub user_claims: Option<Value>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub admin_at: Option<DateTime<Utc>>,
}

/// The columns of [`LiveSession`], from `live_sessions(…) s`.
macro_rules! live_session_columns {
    () => {
        "s.id, s.kind, s.root_id, s.visitor_id, s.user_id, s.secret_generation, s.acr, s.amr, s.auth_time, s.expires_at, \
         s.created_at, s.last_seen_at, s.username, s.user_claims, s.admin_at"
    };
}

/// A session about to begin.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub kind: &'static str,
    pub visitor_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub client_id: Option<&'a str>,
    pub acr: &'a str,
    pub amr: &'a [&'a str],
    pub auth_time: Option<DateTime<Utc>>,
    /// The user's or client's `session_epoch` as it was read with the credential.
    pub epoch: i32,
    pub idle_timeout: Option<TimeDelta>,
    pub expires_at: DateTime<Utc>,
}

pub async fn find_live(tx: &mut Tx, id: Uuid) -> Result<Option<LiveSession>, Broken> {
    let now = tx.now;
    let rows: Vec<LiveSession> = Cached(
        diesel::sql_query(concat!("SELECT ", live_session_columns!(), " FROM live_sessions($2) s WHERE s.id = $1"))
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now),
    )
    .load(tx.conn())
    .await
    .or_broken("find live session")?;
    Ok(rows.into_iter().next())
}

/// The live session that a visitor's became by signing in.
pub async fn find_live_successor(tx: &mut Tx, visitor_id: Uuid) -> Result<Option<LiveSession>, Broken> {
    let now = tx.now;
    let rows: Vec<LiveSession> = Cached(
        diesel::sql_query(concat!(
            "SELECT ",
            live_session_columns!(),
            " FROM live_sessions($2) s WHERE s.visitor_id = $1 AND s.kind = 'user' ORDER BY s.id DESC LIMIT 1"
        ))
        .bind::<sql::Uuid, _>(visitor_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(tx.conn())
    .await
    .or_broken("find successor session")?;
    Ok(rows.into_iter().next())
}

/// A session's cookie generation, whatever became of it: what an old cookie's secret is checked against.
pub async fn find_generation(tx: &mut Tx, id: Uuid) -> Result<Option<i32>, Broken> {
    use super::schema::sessions;
    use diesel::{OptionalExtension, QueryDsl};
    sessions::table
        .find(id)
        .select(sessions::secret_generation)
        .first(tx.conn())
        .await
        .optional()
        .or_broken("find session generation")
}

/// Locks the row against a concurrent end and says whether it is still open; used where something new is hung on it
/// that would not look at it again.
pub async fn lock_open(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let open: Option<Uuid> = sessions::table
        .find(id)
        .filter(sessions::ended_at.is_null())
        .filter(sessions::locked_at.is_null())
        .select(sessions::id)
        .for_share()
        .first(tx.conn())
        .await
        .optional()
        .or_broken("lock session")?;
    Ok(open.is_some() && find_live(tx, id).await?.is_some())
}

pub async fn insert(tx: &mut Tx, new: &NewSession<'_>) -> Result<Uuid, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let trace = tx.trace.clone();
    Cached(
        diesel::sql_query(
            "WITH s AS (INSERT INTO sessions (id, kind, visitor_id, user_id, client_id, acr, amr, auth_time, epoch, \
             idle_timeout, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
             make_interval(secs => $10), $11, $12) RETURNING id) \
             INSERT INTO session_activity (session_id, last_seen_at, source_hash, agent_hash, place, device) \
             SELECT id, $12, $13, $14, $15, $16 FROM s",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Text, _>(new.kind)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.visitor_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.user_id)
        .bind::<sql::Nullable<sql::Text>, _>(new.client_id)
        .bind::<sql::Text, _>(new.acr)
        .bind::<sql::Array<sql::Text>, _>(new.amr)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(new.auth_time)
        .bind::<sql::Integer, _>(new.epoch)
        .bind::<sql::Nullable<sql::Double>, _>(new.idle_timeout.map(seconds))
        .bind::<sql::Timestamptz, _>(new.expires_at)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.source_hash)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.agent_hash)
        .bind::<sql::Nullable<sql::Text>, _>(trace.place)
        .bind::<sql::Nullable<sql::Text>, _>(trace.device),
    )
    .execute(tx.conn())
    .await
    .or_broken("insert session")?;
    Ok(id)
}

#[expect(clippy::cast_precision_loss, reason = "timeouts are far below 2^52 ms")]
fn seconds(delta: TimeDelta) -> f64 {
    delta.num_milliseconds() as f64 / 1000.0
}

/// The same person proved who they are again: new secret, new `auth_time`, same session. Returns the new generation;
/// `None` when the session has ended or its generation is not the one named any more.
pub async fn reauthenticate(
    tx: &mut Tx,
    id: Uuid,
    generation: i32,
    acr: &str,
    amr: &[&str],
) -> Result<Option<i32>, Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let now = tx.now;
    let amr: Vec<Option<&str>> = amr.iter().copied().map(Some).collect();
    diesel::update(
        sessions::table
            .find(id)
            .filter(sessions::ended_at.is_null())
            .filter(sessions::secret_generation.eq(generation)),
    )
    .set((
        sessions::secret_generation.eq(sessions::secret_generation + 1),
        sessions::auth_time.eq(Some(now)),
        sessions::acr.eq(acr),
        sessions::amr.eq(amr),
    ))
    .returning(sessions::secret_generation)
    .get_result(tx.conn())
    .await
    .optional()
    .or_broken("reauthenticate session")
}

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
}

/// Ends a session: one UPDATE of one row, whatever hangs on it. `None` when it was ended already or never was.
pub async fn end(tx: &mut Tx, id: Uuid, reason: &str) -> Result<Option<EndedSession>, Broken> {
    let now = tx.now;
    let rows: Vec<EndedSession> = Cached(
        diesel::sql_query(
            "UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL \
             RETURNING id, kind, user_id, client_id",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason),
    )
    .load(tx.conn())
    .await
    .or_broken("end session")?;
    Ok(rows.into_iter().next())
}

/// Ends the person's sessions except `keep`; offline ones too when `offline`.
pub async fn end_of_user(
    tx: &mut Tx,
    user_id: Uuid,
    keep: Option<Uuid>,
    offline: bool,
    reason: &str,
) -> Result<Vec<EndedSession>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE user_id = $1 AND ended_at IS NULL \
             AND ($4 IS NULL OR (id <> $4 AND parent_id IS DISTINCT FROM $4)) AND ($5 OR kind <> 'offline') \
             RETURNING id, kind, user_id, client_id",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason)
        .bind::<sql::Nullable<sql::Uuid>, _>(keep)
        .bind::<sql::Bool, _>(offline),
    )
    .load(tx.conn())
    .await
    .or_broken("end sessions of user")
}

/// Notes activity, at most once a minute: most requests write nothing, and never to the hot row.
pub async fn touch(tx: &mut Tx, id: Uuid) -> Result<(), Broken> {
    let now = tx.now;
    let trace = tx.trace.clone();
    Cached(
        diesel::sql_query(
            "UPDATE session_activity SET last_seen_at = $2, source_hash = coalesce($3, source_hash), \
             agent_hash = coalesce($4, agent_hash), place = coalesce($5, place), device = coalesce($6, device) \
             WHERE session_id = $1 AND last_seen_at < $2 - interval '1 minute'",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.source_hash)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.agent_hash)
        .bind::<sql::Nullable<sql::Text>, _>(trace.place)
        .bind::<sql::Nullable<sql::Text>, _>(trace.device),
    )
    .execute(tx.conn())
    .await
    .or_broken("touch session")?;
    Ok(())
}

/// The session with this id, or the one some client knows under this `sid`, ended or not.
pub async fn resolve(tx: &mut Tx, id_or_sid: Uuid) -> Result<Option<Uuid>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Uuid)]
        id: Uuid,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT id FROM sessions WHERE id = $1 UNION ALL SELECT session_id AS id FROM session_clients WHERE sid = $1 LIMIT 1",
        )
        .bind::<sql::Uuid, _>(id_or_sid),
    )
    .load(tx.conn())
    .await
    .or_broken("resolve session")?;
    Ok(rows.into_iter().next().map(|row| row.id))
}

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
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub end_reason: Option<String>,
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
    pub limit: i64,
}

pub async fn load(tx: &mut Tx, filter: &Filter<'_>) -> Result<Vec<ListedSession>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "SELECT s.id, s.kind, s.parent_id, s.visitor_id, s.user_id, u.username, s.client_id, s.acr, s.auth_time, \
             s.created_at, a.last_seen_at, s.expires_at, s.locked_at, s.ended_at, s.end_reason, a.place, a.device, \
             l.id IS NOT NULL AS live, coalesce(k.clients, '{}') AS clients, coalesce(k.sids, '{}') AS sids \
             FROM sessions s JOIN session_activity a ON a.session_id = s.id LEFT JOIN users u ON u.id = s.user_id \
             LEFT JOIN live_sessions($1) l ON l.id = s.id \
             LEFT JOIN LATERAL (SELECT array_agg(c.client_id ORDER BY c.joined_at) AS clients, \
                 array_agg(c.sid ORDER BY c.joined_at) AS sids FROM session_clients c WHERE c.session_id = s.id) k ON true \
             WHERE ($2 IS NULL OR s.id = $2) AND ($3 IS NULL OR s.user_id = $3) \
             AND ($4 IS NULL OR s.client_id = $4 OR $4 = ANY (k.clients)) AND ($5 IS NULL OR s.kind = $5) \
             AND (NOT $6 OR l.id IS NOT NULL) ORDER BY s.id DESC LIMIT $7",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Uuid>, _>(filter.id)
        .bind::<sql::Nullable<sql::Uuid>, _>(filter.user_id)
        .bind::<sql::Nullable<sql::Text>, _>(filter.client_id)
        .bind::<sql::Nullable<sql::Text>, _>(filter.kind)
        .bind::<sql::Bool, _>(filter.live_only)
        .bind::<sql::BigInt, _>(filter.limit),
    )
    .load(tx.conn())
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
    .load(tx.conn())
    .await
    .or_broken("count live sessions")?;
    Ok(rows.into_iter().map(|row| (row.kind, row.live)).collect())
}

/// A client's service session that new tokens may still be hung on, with its family.
#[derive(Clone, Debug, QueryableByName)]
pub struct ServiceSession {
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub grant_id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
}

/// Begins a service session with its family, unless another task has just done so. `tokens_live` is how long tokens may
/// outlast the day in which new ones are hung on it. Says whether it began now; `None`: the client is gone.
pub async fn ensure_service(
    tx: &mut Tx,
    client_id: &str,
    tokens_live: TimeDelta,
    acr: &str,
) -> Result<Option<(ServiceSession, bool)>, Broken> {
    use super::schema::clients;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let epoch: Option<i32> = clients::table
        .find(client_id)
        .filter(clients::disabled_at.is_null())
        .select(clients::session_epoch)
        .for_update()
        .first(tx.conn())
        .await
        .optional()
        .or_broken("lock client")?;
    let Some(epoch) = epoch else { return Ok(None) };
    if let Some(found) = find_service(tx, client_id).await? {
        return Ok(Some((found, false)));
    }
    let now = tx.now;
    let new = NewSession {
        kind: "service",
        visitor_id: None,
        user_id: None,
        client_id: Some(client_id),
        acr,
        amr: &[],
        auth_time: None,
        epoch,
        idle_timeout: None,
        expires_at: now + SERVICE_DAY + tokens_live,
    };
    let session_id = insert(tx, &new).await?;
    let (grant_id, sid) = (tx.new_id(), tx.new_id());
    Cached(
        diesel::sql_query(
            "WITH k AS (INSERT INTO session_clients (session_id, client_id, sid, joined_at) VALUES ($1, $2, $3, $4)) \
             INSERT INTO grants (id, session_id, client_id, sid, scope, acr, epoch, created_at) \
             VALUES ($5, $1, $2, $3, '', $6, $7, $4)",
        )
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Uuid, _>(sid)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Uuid, _>(grant_id)
        .bind::<sql::Text, _>(acr)
        .bind::<sql::Integer, _>(epoch),
    )
    .execute(tx.conn())
    .await
    .or_broken("begin service session")?;
    Ok(Some((ServiceSession { session_id, grant_id, sid }, true)))
}

/// New tokens are hung on a service session for this long; then the client gets another one.
pub const SERVICE_DAY: TimeDelta = TimeDelta::hours(24);

async fn find_service(tx: &mut Tx, client_id: &str) -> Result<Option<ServiceSession>, Broken> {
    let now = tx.now;
    let rows: Vec<ServiceSession> = Cached(
        diesel::sql_query(
            "SELECT s.id AS session_id, g.id AS grant_id, g.sid FROM live_sessions($2) s JOIN live_grants($2) g \
             ON g.session_id = s.id WHERE s.client_id = $1 AND s.kind = 'service' AND s.created_at > $3 \
             ORDER BY s.id DESC LIMIT 1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now - SERVICE_DAY),
    )
    .load(tx.conn())
    .await
    .or_broken("find service session")?;
    Ok(rows.into_iter().next())
}
