//! `access_tokens`: the one query that answers "is this token live?", and the statements that issue and revoke.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    batch::{Field, Statement, make},
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
    /// Looked up where the scope or the claims asked for may need them.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Text>>, column_name = "user_groups")]
    pub groups: Option<Vec<String>>,
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
         CASE WHEN strpos(t.scope, 'groups') > 0 OR t.claims IS NOT NULL THEN \
             (SELECT u.groups FROM users u WHERE u.id = t.user_id) END AS user_groups, \
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
             NULL::jsonb AS user_claims, CASE WHEN strpos(t.scope, 'groups') > 0 THEN \
                 (SELECT u.groups FROM users u WHERE u.id = t.user_id) END AS user_groups, t.session_kind, t.session_started_at, t.session_expires_at, t.privileged_until, \
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

/// The tokens and events of the changes that a query gives.
macro_rules! insert_tokens_of {
    ($changes:literal) => {
        concat!(
            "events AS (",
            $crate::db::audit_events::insert_events_of!($changes),
            ") INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
             SELECT id, grant_id, session_id, secret_hash, scope, audience, at, expires_at FROM ",
            $changes,
            " RETURNING id"
        )
    };
}
pub(super) use insert_tokens_of;

impl NewAccessToken<'_> {
    /// What follows the columns of its family: `secret_hash`, `scope`, `audience`, `expires_at`.
    pub(super) fn fields(&self) -> [Field; 4] {
        [self.secret_hash.into(), self.scope.into(), self.audience.into(), self.expires_at.into()]
    }
}

static INSERT: Statement = Statement::new(
    &["grant_id", "session_id", "secret_hash", "scope", "audience", "expires_at"],
    concat!("WITH change AS NOT MATERIALIZED {values}, ", insert_tokens_of!("change")),
);

/// Issues a token of a family on a session, with its event, in one statement.
pub async fn insert(tx: &mut Tx, grant_id: Uuid, session_id: Uuid, token: &NewAccessToken<'_>) -> Result<(), Broken> {
    let mut fields = vec![grant_id.into(), session_id.into()];
    fields.extend(token.fields());
    make(tx, &INSERT, token.id, fields).await?;
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

const REFRESHED: &[&str] =
    &["grant_id", "session_id", "generation", "grace_from", "secret_hash", "scope", "audience", "expires_at"];

/// The newest rotates, and the next is handed out.
static ROTATE: Statement = Statement::new(
    REFRESHED,
    concat!(
        "WITH change AS {values}, family AS (UPDATE grants g SET refresh_generation = c.generation + 1, \
             refresh_rotated_at = c.at FROM change c WHERE g.id = ANY (ARRAY(SELECT grant_id FROM change)) \
             AND g.id = c.grant_id AND g.refresh_generation = c.generation AND g.ended_at IS NULL RETURNING c.*), \
         seen AS (UPDATE session_activity a SET last_seen_at = f.at FROM family f \
             WHERE a.session_id = ANY (ARRAY(SELECT session_id FROM family)) AND a.session_id = f.session_id \
             AND a.last_seen_at < f.at - interval '1 minute'), ",
        insert_tokens_of!("family")
    ),
);

/// One at a time: the newest but one, whose successor is handed out again.
static HAND_OUT_AGAIN: Statement = Statement::new(
    REFRESHED,
    concat!(
        "WITH change AS {values}, held AS (SELECT id FROM grants WHERE id = (SELECT grant_id FROM change) \
             AND refresh_generation = (SELECT generation + 1 FROM change) AND ended_at IS NULL \
             AND refresh_rotated_at > (SELECT grace_from FROM change) FOR SHARE), \
         family AS (SELECT change.* FROM change, held), \
         seen AS (UPDATE session_activity a SET last_seen_at = f.at FROM family f \
             WHERE a.session_id = (SELECT session_id FROM family) AND a.last_seen_at < f.at - interval '1 minute'), ",
        insert_tokens_of!("family")
    ),
);

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
    if !rotate {
        tx.connect().await?;
    }
    let mut fields = vec![grant_id.into(), session_id.into(), generation.into(), grace_from.into()];
    fields.extend(token.fields());
    make(tx, if rotate { &ROTATE } else { &HAND_OUT_AGAIN }, token.id, fields).await
}
