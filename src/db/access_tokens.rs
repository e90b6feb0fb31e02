//! `access_tokens`: the one query that answers "is this token live?", and the statements that issue and revoke.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    audit_events::{insert_event, with_event},
    clients::ClientRow,
    json::Json,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::{failure::Broken, oauth::ClientMetadata};

/// An access token about to be issued.
#[derive(Debug)]
pub struct NewAccessToken<'a> {
    pub id: Uuid,
    /// SHA-256 of the secret; `None` for a JWT.
    pub secret_hash: Option<&'a [u8]>,
    pub scope: &'a str,
    pub audience: &'a [String],
    pub expires_at: DateTime<Utc>,
}

/// A token that nothing has ended, as `live_access_tokens` gives it.
#[derive(Clone, Debug, QueryableByName)]
pub struct LiveToken {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub grant_id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Bytea>, column_name = "token_secret_hash")]
    pub secret_hash: Option<Vec<u8>>,
    #[diesel(sql_type = sql::Text)]
    pub scope: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub audience: Vec<String>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub issued_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Text)]
    pub token_client_id: String,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub claims: Option<Value>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub user_claims: Option<Value>,
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
    #[diesel(sql_type = sql::Timestamptz)]
    pub session_started_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub session_expires_at: DateTime<Utc>,
    /// Of one that hangs on a privileged session: until when it could be refreshed as such.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub privileged_until: Option<DateTime<Utc>>,
    /// Of the client that it was issued to; `None` where that is the caller.
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub client_metadata: Option<Json<ClientMetadata>>,
}

impl Joined for LiveToken {
    const KEY: &'static str = "id";
}

macro_rules! live_token_columns {
    () => {
        "t.id, t.grant_id, t.session_id, t.secret_hash AS token_secret_hash, t.scope, t.audience, t.issued_at, t.expires_at, t.user_id, \
         t.client_id AS token_client_id, t.sid, t.acr, t.amr, t.auth_time, t.claims, t.username, t.user_claims, \
         t.session_kind, t.session_started_at, t.session_expires_at, t.privileged_until, \
         (SELECT c.metadata FROM clients c WHERE c.client_id = t.client_id) AS client_metadata"
    };
}

pub async fn find_live(tx: &mut Tx, id: Uuid) -> Result<Option<LiveToken>, Broken> {
    let now = tx.now;
    let rows: Vec<LiveToken> = Cached(
        diesel::sql_query(concat!("SELECT ", live_token_columns!(), " FROM live_access_tokens($2) t WHERE t.id = $1"))
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find live access token")?;
    Ok(rows.into_iter().next())
}

/// The calling client and the token, if it is live, in one statement: what introspection and revocation ask. What only
/// userinfo needs (the person's claims) is left out.
pub async fn find_live_with_caller(
    tx: &mut Tx,
    client_id: &str,
    token_id: Option<Uuid>,
) -> Result<Option<(ClientRow, Option<LiveToken>)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        caller: ClientRow,
        #[diesel(embed)]
        token: Maybe<LiveToken>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at, t.id, t.grant_id, \
             t.session_id, t.secret_hash AS token_secret_hash, t.scope, t.audience, t.issued_at, t.expires_at, t.user_id, \
             t.client_id AS token_client_id, t.sid, t.acr, t.amr, t.auth_time, NULL::jsonb AS claims, t.username, \
             NULL::jsonb AS user_claims, t.session_kind, t.session_started_at, t.session_expires_at, t.privileged_until, \
             CASE WHEN t.client_id <> c.client_id THEN \
                 (SELECT o.metadata FROM clients o WHERE o.client_id = t.client_id) END AS client_metadata \
             FROM clients c LEFT JOIN live_access_tokens($3) t ON t.id = $2 WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(token_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find live access token with caller")?;
    Ok(rows.into_iter().next().map(|row| (row.caller, row.token.0)))
}

/// Issues a token of a family on a session, with its event, in one statement.
pub async fn insert(tx: &mut Tx, grant_id: Uuid, session_id: Uuid, token: &NewAccessToken<'_>) -> Result<(), Broken> {
    const STATEMENT: &str = concat!(
        "WITH events AS (",
        insert_event!(),
        ") INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
         VALUES ($15, $16, $17, $18, $19, $20, $2, $21)"
    );
    let query = with_event(tx, STATEMENT)?
        .bind::<sql::Uuid, _>(token.id)
        .bind::<sql::Uuid, _>(grant_id)
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Nullable<sql::Bytea>, _>(token.secret_hash)
        .bind::<sql::Text, _>(token.scope)
        .bind::<sql::Array<sql::Text>, _>(token.audience)
        .bind::<sql::Timestamptz, _>(token.expires_at);
    Cached(query).execute(&mut tx.conn()).await.or_broken("insert access token")?;
    Ok(())
}

/// Revokes one access token. `false` when it was revoked already or never was.
pub async fn revoke(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = Cached(
        diesel::sql_query("UPDATE access_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("revoke access token")?;
    Ok(changed > 0)
}

/// A refresh, given how the family is taken: no row of it, and no token is issued and no event written.
macro_rules! refresh_statement {
    ($family:literal) => {
        concat!(
            "WITH family AS (",
            $family,
            "), seen AS (UPDATE session_activity SET last_seen_at = $2 FROM family WHERE session_id = $16 \
                 AND last_seen_at < $2 - interval '1 minute'), events AS (",
            insert_event!("family"),
            ") INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
             SELECT $18, $15, $16, $19, $20, $21, $2, $22 FROM family"
        )
    };
}

/// Rotates the refresh state of a family and issues its next access token, in one statement.
///
/// `generation` is the one presented. `rotate`: it must be the newest, and the next becomes so. Otherwise it must be the
/// newest but one and the newest must be younger than `grace_from`: the successor is handed out again. `false` when
/// that is not so (any more); then nothing is changed.
pub async fn refresh(
    tx: &mut Tx,
    grant_id: Uuid,
    session_id: Uuid,
    generation: i32,
    rotate: bool,
    grace_from: DateTime<Utc>,
    token: &NewAccessToken<'_>,
) -> Result<bool, Broken> {
    let statement = if rotate {
        refresh_statement!(
            "UPDATE grants SET refresh_generation = $17 + 1, refresh_rotated_at = $2 WHERE id = $15 \
             AND refresh_generation = $17 AND ended_at IS NULL RETURNING id"
        )
    } else {
        refresh_statement!(
            "SELECT id FROM grants WHERE id = $15 AND refresh_generation = $17 + 1 AND ended_at IS NULL \
             AND refresh_rotated_at > $23 FOR SHARE"
        )
    };
    let mut query = with_event(tx, statement)?
        .bind::<sql::Uuid, _>(grant_id)
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Integer, _>(generation)
        .bind::<sql::Uuid, _>(token.id)
        .bind::<sql::Nullable<sql::Bytea>, _>(token.secret_hash)
        .bind::<sql::Text, _>(token.scope)
        .bind::<sql::Array<sql::Text>, _>(token.audience)
        .bind::<sql::Timestamptz, _>(token.expires_at);
    if !rotate {
        query = query.bind::<sql::Timestamptz, _>(grace_from);
    }
    let issued = Cached(query).execute(&mut tx.conn()).await.or_broken("refresh")?;
    Ok(issued > 0)
}
