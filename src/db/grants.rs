//! `grants`: the family of what one authorization led to, and its refresh state.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    clients::ClientRow,
    json::Json,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::{failure::Broken, oauth::ClientMetadata};

/// A family that was ended.
pub struct EndedFamily {
    /// The session of its own that its refresh token hung on.
    pub offline_session_id: Option<Uuid>,
}

/// Ends a family: one UPDATE, whatever came of it. `None` when it had ended.
pub async fn end(tx: &mut Tx, id: Uuid, reason: &'static str) -> Result<Option<EndedFamily>, Broken> {
    use super::schema::grants;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let now = tx.now;
    let ended: Option<Option<Uuid>> = diesel::update(grants::table.find(id).filter(grants::ended_at.is_null()))
        .set((grants::ended_at.eq(Some(now)), grants::end_reason.eq(Some(reason))))
        .returning(grants::offline_session_id)
        .get_result(&mut tx.conn())
        .await
        .optional()
        .or_broken("end family")?;
    Ok(ended.map(|offline_session_id| EndedFamily { offline_session_id }))
}

/// What a client had in a session.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct EndedOfClient {
    #[diesel(sql_type = sql::BigInt)]
    pub grants: i64,
    /// Of grants that go on with offline access.
    #[diesel(sql_type = sql::BigInt)]
    pub access_tokens: i64,
}

/// Ends the client's grants in a session. Of one that was given offline access only the access tokens of the session are
/// revoked: the rest hangs on a session of its own.
pub async fn end_of_client(
    tx: &mut Tx,
    session_id: Uuid,
    client_id: &str,
    reason: &str,
) -> Result<EndedOfClient, Broken> {
    let now = tx.now;
    let rows: Vec<EndedOfClient> = Cached(
        diesel::sql_query(
            "WITH ended AS (UPDATE grants SET ended_at = $3, end_reason = $4 WHERE session_id = $1 AND client_id = $2 \
                 AND ended_at IS NULL AND offline_session_id IS NULL RETURNING id), \
             kept AS (SELECT id, privileged_session_id FROM grants WHERE session_id = $1 AND client_id = $2 \
                 AND ended_at IS NULL AND offline_session_id IS NOT NULL), \
             revoked AS (UPDATE access_tokens SET revoked_at = $3 WHERE session_id = ANY (ARRAY(SELECT $1 \
                     UNION SELECT privileged_session_id FROM kept WHERE privileged_session_id IS NOT NULL)) \
                 AND grant_id = ANY (ARRAY(SELECT id FROM kept)) AND revoked_at IS NULL AND expires_at > $3 RETURNING id) \
             SELECT (SELECT count(*) FROM ended) AS grants, (SELECT count(*) FROM revoked) AS access_tokens",
        )
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Text, _>(reason),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("end what a client has in a session")?;
    rows.into_iter().next().ok_or_else(|| Broken::new("what a client has in a session has no row"))
}

/// From now on the family's refresh token hangs on this session.
pub async fn hang_on_offline(tx: &mut Tx, id: Uuid, session_id: Uuid) -> Result<(), Broken> {
    use super::schema::grants;
    use diesel::{ExpressionMethods, QueryDsl};
    diesel::update(grants::table.find(id))
        .set(grants::offline_session_id.eq(Some(session_id)))
        .execute(&mut tx.conn())
        .await
        .or_broken("hang family on offline session")?;
    Ok(())
}

/// The refresh state of a family that is alive with the session it hangs on.
#[derive(Clone, Debug, QueryableByName)]
pub struct RefreshState {
    #[diesel(sql_type = sql::Uuid)]
    pub grant_id: Uuid,
    #[diesel(sql_type = sql::Text, column_name = "grant_client_id")]
    pub client_id: String,
    /// The session that refreshed tokens hang on: the offline one where there is one.
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
    #[diesel(sql_type = sql::Timestamptz)]
    pub session_started_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub session_expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub user_claims: Option<Value>,
    /// Looked up where the scope or the claims asked for may need them.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Text>>, column_name = "user_groups")]
    pub groups: Option<Vec<String>>,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub scope: String,
    /// What it is worth now (`acr_now` in the schema).
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    /// As it was granted: what it is worth while its privileged session lives, and with it every proof in there.
    #[diesel(sql_type = sql::Text)]
    pub granted_acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub granted_amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub nonce: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub claims: Option<Value>,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub resources: Vec<String>,
    #[diesel(sql_type = sql::Bytea, column_name = "refresh_seed")]
    pub seed: Vec<u8>,
    #[diesel(sql_type = sql::Integer, column_name = "refresh_generation")]
    pub generation: i32,
    #[diesel(sql_type = sql::Timestamptz, column_name = "refresh_rotated_at")]
    pub rotated_at: DateTime<Utc>,
    /// Of the client that it was issued to; `None` where that is the caller.
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub client_metadata: Option<Json<ClientMetadata>>,
    /// The privileged session that its privileged scopes need, whether it lives or not, for as long as they allow. What hangs
    /// on an offline session has none.
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub privileged_session_id: Option<Uuid>,
    /// Until when; `None`: as long as that session lives.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub privileged_until: Option<DateTime<Utc>>,
}

impl Joined for RefreshState {
    // A family that was given no refresh token has none of this.
    const KEY: &'static str = "refresh_seed";
}

/// The client, and the family's refresh state if all that it hangs on is alive, in one statement. `None`: no such client.
pub async fn find_refresh_with_client(
    tx: &mut Tx,
    client_id: &str,
    grant_id: Option<Uuid>,
) -> Result<Option<(ClientRow, Option<RefreshState>)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        client: ClientRow,
        #[diesel(embed)]
        state: Maybe<RefreshState>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at, r.* FROM clients c \
             LEFT JOIN (SELECT g.id AS grant_id, g.client_id AS grant_client_id, s.id AS session_id, \
                 s.kind AS session_kind, s.created_at AS session_started_at, s.expires_at AS session_expires_at, \
                 g.user_id, s.username, s.user_claims, CASE WHEN strpos(g.scope, 'groups') > 0 OR g.claims IS NOT NULL THEN \
                     (SELECT u.groups FROM users u WHERE u.id = g.user_id) END AS user_groups, g.sid, g.scope, \
                 acr_now(g.acr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)) AS acr, \
                 amr_now(g.amr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)) AS amr, \
                 g.acr AS granted_acr, g.amr AS granted_amr, g.auth_time, g.nonce, g.claims, \
                 g.resources, g.refresh_seed, g.refresh_generation, g.refresh_rotated_at, CASE WHEN g.client_id <> $1 THEN \
                 (SELECT o.metadata FROM clients o WHERE o.client_id = g.client_id) END AS client_metadata, \
                 CASE WHEN g.offline_session_id IS NULL AND coalesce(g.privileged_until > $3, true) \
                     THEN g.privileged_session_id END AS privileged_session_id, g.privileged_until \
                 FROM live_grants($3) g JOIN LATERAL (SELECT * FROM live_sessions($3) \
                     WHERE id = coalesce(g.offline_session_id, g.session_id) OFFSET 0) s ON true \
                 WHERE g.id = $2) r ON true WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(grant_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find refresh state")?;
    Ok(rows.into_iter().next().map(|row| (row.client, row.state.0)))
}

/// A grant with a refresh token that is not live any more, for as long as it is kept.
#[derive(Clone, Debug, QueryableByName)]
pub struct DeadGrant {
    #[diesel(sql_type = sql::Text)]
    pub client_id: String,
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Bytea)]
    pub seed: Vec<u8>,
    #[diesel(sql_type = sql::Integer)]
    pub generation: i32,
}

/// A grant whose code was redeemed, live or not.
#[derive(Clone, Debug, QueryableByName)]
pub struct RedeemedGrant {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub client_id: String,
    #[diesel(sql_type = sql::Text)]
    pub redirect_uri: String,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub code_challenge: Option<String>,
    #[diesel(sql_type = sql::Text)]
    pub scope: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    /// Why it was ended; `None`: it was not, whatever became of its sessions.
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub end_reason: Option<String>,
    /// The session that its code hung on.
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
}

/// A grant whose code was redeemed, by its id alone: its sessions may have ended.
pub async fn find_redeemed(tx: &mut Tx, id: Uuid) -> Result<Option<RedeemedGrant>, Broken> {
    let rows: Vec<RedeemedGrant> = Cached(
        diesel::sql_query(
            "SELECT g.id, g.client_id, g.redirect_uri, g.code_challenge, g.scope, g.user_id, \
             CASE WHEN g.ended_at IS NOT NULL THEN coalesce(g.end_reason, '') END AS end_reason, \
             s.id AS session_id, s.kind AS session_kind FROM grants g \
             JOIN LATERAL (SELECT id, kind FROM sessions WHERE id = coalesce(g.privileged_session_id, g.session_id) OFFSET 0) s ON true \
             WHERE g.id = $1 AND g.redeemed_at IS NOT NULL AND g.redirect_uri IS NOT NULL",
        )
        .bind::<sql::Uuid, _>(id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find a redeemed grant")?;
    Ok(rows.into_iter().next())
}

/// A grant, dead or not, with what its refresh tokens are recognized by.
pub async fn find_dead(tx: &mut Tx, id: Uuid) -> Result<Option<DeadGrant>, Broken> {
    let rows: Vec<DeadGrant> = Cached(
        diesel::sql_query(
            "SELECT g.client_id, s.id AS session_id, s.kind AS session_kind, g.user_id, g.refresh_seed AS seed, \
             g.refresh_generation AS generation FROM grants g \
             JOIN LATERAL (SELECT id, kind FROM sessions WHERE id = coalesce(g.offline_session_id, g.session_id) OFFSET 0) s ON true \
             WHERE g.id = $1 AND g.refresh_seed IS NOT NULL",
        )
        .bind::<sql::Uuid, _>(id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find a dead grant")?;
    Ok(rows.into_iter().next())
}
