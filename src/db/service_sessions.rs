//! Service sessions: what a client that acts for itself hangs its tokens on, with their one family.

use chrono::TimeDelta;
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx,
    clients::ClientRow,
    outer_join::{Joined, Maybe},
    sessions::{NewSession, insert},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

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

impl Joined for ServiceSession {
    const KEY: &'static str = "session_id";
}

/// What became of the wish for a service session.
pub enum Ensured {
    Begun(ServiceSession),
    /// Another task has just begun it.
    Found(ServiceSession),
    /// The client's session is locked: until its time is over there is no other.
    Locked,
    /// The client is gone, or disabled.
    Gone,
}

/// Begins a service session with its family where the client has none that is live. `tokens_live` is how long tokens may
/// outlast the day in which new ones are hung on it.
pub async fn ensure_service(
    tx: &mut Tx,
    client_id: &str,
    tokens_live: TimeDelta,
    acr: &str,
) -> Result<Ensured, Broken> {
    use super::schema::{clients, sessions};
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let epoch: Option<i32> = clients::table
        .find(client_id)
        .filter(clients::disabled_at.is_null())
        .select(clients::session_epoch)
        .for_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("lock client")?;
    let Some(epoch) = epoch else { return Ok(Ensured::Gone) };
    if let Some(found) = find_service(tx, client_id).await? {
        return Ok(Ensured::Found(found));
    }
    let now = tx.now;
    let locked: i64 = sessions::table
        .filter(sessions::client_id.eq(client_id))
        .filter(sessions::kind.eq("service"))
        .filter(sessions::locked_at.is_not_null())
        .filter(sessions::ended_at.is_null())
        .filter(sessions::expires_at.gt(now))
        .count()
        .get_result(&mut tx.conn())
        .await
        .or_broken("look for a locked service session")?;
    if locked > 0 {
        return Ok(Ensured::Locked);
    }
    let new = NewSession {
        kind: "service",
        parent_id: None,
        visitor_id: None,
        user_id: None,
        client_id: Some(client_id),
        acr,
        amr: &[],
        auth_time: None,
        epoch,
        idle_timeout: None,
        expires_at: now + SERVICE_DAY + tokens_live,
        proved_with: &[],
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
    .execute(&mut tx.conn())
    .await
    .or_broken("begin service session")?;
    Ok(Ensured::Begun(ServiceSession { session_id, grant_id, sid }))
}

/// New tokens are hung on a service session for this long; then the client gets another one.
pub const SERVICE_DAY: TimeDelta = TimeDelta::hours(24);

async fn find_service(tx: &mut Tx, client_id: &str) -> Result<Option<ServiceSession>, Broken> {
    let now = tx.now;
    let rows: Vec<ServiceSession> = Cached(
        diesel::sql_query(
            "SELECT s.id AS session_id, g.id AS grant_id, g.sid FROM live_sessions($2) s \
             JOIN LATERAL (SELECT id, sid FROM live_grants($2) WHERE session_id = s.id OFFSET 0) g ON true \
             WHERE s.client_id = $1 AND s.kind = 'service' AND s.created_at > $3 ORDER BY s.created_at DESC LIMIT 1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now - SERVICE_DAY),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find service session")?;
    Ok(rows.into_iter().next())
}

/// A calling client with its service session, if it has one of today.
pub async fn find_client_with_service(
    tx: &mut Tx,
    client_id: &str,
) -> Result<Option<(ClientRow, Option<ServiceSession>)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        client: ClientRow,
        #[diesel(embed)]
        service: Maybe<ServiceSession>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at, s.session_id, s.grant_id, \
             s.sid FROM clients c LEFT JOIN LATERAL (SELECT s.id AS session_id, g.id AS grant_id, g.sid \
                 FROM live_sessions($2) s \
                 JOIN LATERAL (SELECT id, sid FROM live_grants($2) WHERE session_id = s.id OFFSET 0) g ON true \
                 WHERE s.client_id = c.client_id AND s.kind = 'service' AND s.created_at > $3 \
                 ORDER BY s.created_at DESC LIMIT 1) s ON true \
             WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now - SERVICE_DAY),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find client with service session")?;
    Ok(rows.into_iter().next().map(|row| (row.client, row.service.0)))
}
