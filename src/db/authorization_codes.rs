//! `authorization_codes`: issuing one with its family, looking one up with all it hangs on, redeeming it. A family has one
//! code, and knows whether that was redeemed.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    access_tokens::NewAccessToken,
    audit_events::{insert_event, with_event},
    clients::ClientRow,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// A code about to be issued, with the family that it founds.
#[derive(Debug)]
pub struct NewCode<'a> {
    pub code_id: Uuid,
    pub grant_id: Uuid,
    /// The stored request that it answers; the code is issued only if nothing else has answered it.
    pub request_id: Option<Uuid>,
    /// What the family hangs on.
    pub session_id: Uuid,
    /// What the code hangs on: the same, or the privileged session that the family then remembers.
    pub code_session_id: Uuid,
    /// Until when tokens of the family may hang on that privileged session.
    pub privileged_until: Option<DateTime<Utc>>,
    /// Where `sid` is kept: the user or visitor session.
    pub root_id: Uuid,
    /// Whether activity of that session has been noted within the last minute.
    pub is_noted: bool,
    /// The client's `sid` in this session, where it took part before.
    pub sid: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub client_id: &'a str,
    pub client_epoch: i32,
    pub redirect_uri: &'a str,
    pub code_challenge: Option<&'a str>,
    pub scope: &'a str,
    /// What the request named (RFC 8707).
    pub resources: &'a [String],
    pub acr: &'a str,
    pub amr: &'a [String],
    pub auth_time: Option<DateTime<Utc>>,
    pub nonce: Option<&'a str>,
    pub claims: Option<&'a Value>,
    pub expires_at: DateTime<Utc>,
}

/// The family and the code, given where the code is issued: always, or `FROM gate`.
macro_rules! issue_statement {
    ($before:literal, $event:expr, $sid:literal, $from:literal) => {
        concat!(
            "WITH ",
            $before,
            "family AS (INSERT INTO grants (id, session_id, user_id, client_id, sid, scope, acr, amr, auth_time, nonce, \
                 claims, epoch, created_at, resources, privileged_session_id, privileged_until) SELECT $15, $16, $18, $19, ",
            $sid,
            ", $21, $22, $23, $24, $25, $26, $27, $2, $32, nullif($33, $16), $34",
            $from,
            "), events AS (",
            $event,
            ") INSERT INTO authorization_codes (id, grant_id, session_id, redirect_uri, code_challenge, expires_at) \
             SELECT $28, $15, $33, $29, $30, $31",
            $from
        )
    };
}

/// Issues a code in one statement with its event: founds the family, inserts the code, notes activity. Where the request
/// had been stored or the client is new to the session, it also takes the request and joins the client. `false` when the
/// request had been answered already; then nothing is changed.
pub async fn issue(tx: &mut Tx, new: &NewCode<'_>) -> Result<bool, Broken> {
    let new_sid = tx.new_id();
    // Most requests wait for nobody and come from a client that the session knows, in a session that was just seen: each
    // part left out is a tenth less work for PostgreSQL.
    let is_plain = new.request_id.is_none() && new.sid.is_some() && new.is_noted;
    let statement = if is_plain {
        issue_statement!("", insert_event!(), "$20", "")
    } else {
        issue_statement!(
            "taken AS (UPDATE authorization_requests SET completed_at = $2, code_id = $28, session_id = $17 \
                 WHERE id = $35 AND completed_at IS NULL RETURNING id), \
             gate AS (SELECT 1 WHERE $35 IS NULL UNION ALL SELECT 1 FROM taken), \
             joined AS (INSERT INTO session_clients AS j (session_id, client_id, sid, joined_at) \
                 SELECT $17, $19, $36, $2 FROM gate WHERE $20 IS NULL \
                 ON CONFLICT (session_id, client_id) DO UPDATE SET joined_at = j.joined_at RETURNING sid), \
             seen AS (UPDATE session_activity SET last_seen_at = $2 FROM gate WHERE session_id = $17 \
                 AND last_seen_at < $2 - interval '1 minute'), ",
            insert_event!("gate"),
            "coalesce($20, (SELECT sid FROM joined))",
            " FROM gate"
        )
    };
    let mut query = with_event(tx, statement)?
        .bind::<sql::Uuid, _>(new.grant_id)
        .bind::<sql::Uuid, _>(new.session_id)
        .bind::<sql::Uuid, _>(new.root_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.user_id)
        .bind::<sql::Text, _>(new.client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.sid)
        .bind::<sql::Text, _>(new.scope)
        .bind::<sql::Text, _>(new.acr)
        .bind::<sql::Array<sql::Text>, _>(new.amr)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(new.auth_time)
        .bind::<sql::Nullable<sql::Text>, _>(new.nonce)
        .bind::<sql::Nullable<sql::Jsonb>, _>(new.claims)
        .bind::<sql::Integer, _>(new.client_epoch)
        .bind::<sql::Uuid, _>(new.code_id)
        .bind::<sql::Text, _>(new.redirect_uri)
        .bind::<sql::Nullable<sql::Text>, _>(new.code_challenge)
        .bind::<sql::Timestamptz, _>(new.expires_at)
        .bind::<sql::Array<sql::Text>, _>(new.resources)
        .bind::<sql::Uuid, _>(new.code_session_id)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(new.privileged_until);
    if !is_plain {
        query = query.bind::<sql::Nullable<sql::Uuid>, _>(new.request_id).bind::<sql::Uuid, _>(new_sid);
    }
    let issued = Cached(query).execute(&mut tx.conn()).await.or_broken("issue code")?;
    Ok(issued > 0)
}

/// A code whose family, session, user and client are alive; itself perhaps redeemed or expired.
#[derive(Clone, Debug, QueryableByName)]
pub struct Code {
    #[diesel(sql_type = sql::Uuid, column_name = "code_id")]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub grant_id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    /// Kind of that session.
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
    /// The user or visitor session: of a privileged one the parent.
    #[diesel(sql_type = sql::Uuid)]
    pub root_id: Uuid,
    #[diesel(sql_type = sql::Timestamptz)]
    pub session_expires_at: DateTime<Utc>,
    /// Until when the family may be privileged; `None`: as long as its privileged session lives.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub privileged_until: Option<DateTime<Utc>>,
    /// The session epoch that an offline session inherits.
    #[diesel(sql_type = sql::Integer, column_name = "epoch")]
    pub session_epoch: i32,
    #[diesel(sql_type = sql::Text, column_name = "code_client_id")]
    pub client_id: String,
    #[diesel(sql_type = sql::Text)]
    pub redirect_uri: String,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub code_challenge: Option<String>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub redeemed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub user_claims: Option<Value>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub scope: String,
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub nonce: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub claims: Option<Value>,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub resources: Vec<String>,
}

impl Joined for Code {
    const KEY: &'static str = "code_id";
}

/// The client, and the code if all that it hangs on is alive and what it stands for still allowed, in one statement. `None`: no
/// such client.
pub async fn find_with_client(
    tx: &mut Tx,
    client_id: &str,
    code_id: Option<Uuid>,
) -> Result<Option<(ClientRow, Option<Code>)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        client: ClientRow,
        #[diesel(embed)]
        code: Maybe<Code>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at, k.* FROM clients c \
             LEFT JOIN (SELECT k.id AS code_id, k.grant_id, k.session_id, s.kind AS session_kind, \
                 s.root_id, s.expires_at AS session_expires_at, s.epoch, g.client_id AS code_client_id, k.redirect_uri, \
                 k.code_challenge, k.expires_at, g.redeemed_at, g.user_id, s.user_claims, s.username, g.sid, g.scope, \
                 g.acr, g.amr, g.auth_time, g.nonce, g.claims, g.resources, g.privileged_until \
                 FROM authorization_codes k \
                 JOIN LATERAL (SELECT * FROM live_grants($3) WHERE id = k.grant_id OFFSET 0) g ON true \
                 JOIN LATERAL (SELECT * FROM live_sessions($3) WHERE id = k.session_id OFFSET 0) s ON true \
                 LEFT JOIN LATERAL (SELECT withdrawn_at FROM consents WHERE user_id = g.user_id \
                     AND client_id = g.client_id OFFSET 0) n ON true \
                 WHERE k.id = $2 AND (n.withdrawn_at IS NULL OR (g.scope = '' AND g.claims IS NULL))) k ON true \
             WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(code_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find code")?;
    Ok(rows.into_iter().next().map(|row| (row.client, row.code.0)))
}

/// A redemption, given what else becomes of the family.
macro_rules! redeem_statement {
    ($refresh_state:literal) => {
        concat!(
            "WITH family AS (UPDATE grants SET redeemed_at = $2",
            $refresh_state,
            " WHERE id = $15 AND redeemed_at IS NULL AND ended_at IS NULL RETURNING id), events AS (",
            insert_event!("family"),
            ") INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
             SELECT $17, $15, $16, $18, $19, $20, $2, $21 FROM family"
        )
    };
}

/// Consumes the code and issues the access token in one statement, with the family's first refresh seed if one is
/// given. `false` when it was redeemed or its family ended in the meantime; then nothing is changed. That it has not expired
/// at this instant is the caller's to see.
pub async fn redeem(
    tx: &mut Tx,
    code: &Code,
    token: &NewAccessToken<'_>,
    refresh_seed: Option<&[u8]>,
) -> Result<bool, Broken> {
    let statement = if refresh_seed.is_some() {
        redeem_statement!(", refresh_seed = $22, refresh_generation = 1, refresh_rotated_at = $2")
    } else {
        redeem_statement!("")
    };
    let mut query = with_event(tx, statement)?
        .bind::<sql::Uuid, _>(code.grant_id)
        .bind::<sql::Uuid, _>(code.session_id)
        .bind::<sql::Uuid, _>(token.id)
        .bind::<sql::Nullable<sql::Bytea>, _>(token.secret_hash)
        .bind::<sql::Text, _>(token.scope)
        .bind::<sql::Array<sql::Text>, _>(token.audience)
        .bind::<sql::Timestamptz, _>(token.expires_at);
    if let Some(seed) = refresh_seed {
        query = query.bind::<sql::Bytea, _>(seed);
    }
    let redeemed = Cached(query).execute(&mut tx.conn()).await.or_broken("redeem code")?;
    Ok(redeemed > 0)
}

/// Whether a code is still there to be redeemed: only then may it be handed out a second time.
pub async fn is_unused(tx: &mut Tx, code_id: Uuid) -> Result<bool, Broken> {
    use super::schema::{authorization_codes as codes, grants};
    use diesel::{ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl};
    let now = tx.now;
    let found: Option<Uuid> = codes::table
        .inner_join(grants::table.on(grants::id.eq(codes::grant_id)))
        .filter(codes::id.eq(code_id))
        .filter(codes::expires_at.gt(now))
        .filter(grants::redeemed_at.is_null())
        .select(codes::id)
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("look at code")?;
    Ok(found.is_some())
}
