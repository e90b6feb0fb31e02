//! Authorization codes: issuing one with its family, looking one up with all it hangs on, redeeming it. A family has one code,
//! which is part of its row in `grants` and has its id.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    access_tokens::{NewAccessToken, insert_tokens_of},
    audit_events::insert_events_of,
    batch::{Statement, make},
    clients::ClientRow,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// A code about to be issued, with the family that it founds.
#[derive(Debug)]
pub struct NewCode<'a> {
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
    /// The credentials that proved `acr`; `None`: not recorded.
    pub proved_with: Option<&'a [Uuid]>,
    /// How many credentials the session had lost before ([`LiveSession::losses`](super::sessions::LiveSession::losses)).
    pub losses_before: i32,
    pub nonce: Option<&'a str>,
    pub claims: Option<&'a Value>,
    pub expires_at: DateTime<Utc>,
}

/// The family with its code, and the event, of the changes that a query gives.
macro_rules! issue_from {
    ($changes:literal, $sid:literal) => {
        concat!(
            "events AS (",
            insert_events_of!($changes),
            ") INSERT INTO grants (id, session_id, user_id, client_id, sid, scope, acr, amr, auth_time, nonce, claims, epoch, \
                 created_at, resources, privileged_session_id, privileged_until, redirect_uri, code_challenge, code_expires_at, \
                 proved_with, losses_before) \
             SELECT id, session_id, user_id, client_id, ",
            $sid,
            ", scope, acr, amr, auth_time, nonce, claims, epoch, at, resources, nullif(code_session_id, session_id), \
                 privileged_until, redirect_uri, code_challenge, expires_at, proved_with, losses_before FROM ",
            $changes,
            " RETURNING id"
        )
    };
}

const ISSUED: &[&str] = &[
    "session_id",
    "code_session_id",
    "privileged_until",
    "sid",
    "user_id",
    "client_id",
    "epoch",
    "redirect_uri",
    "code_challenge",
    "scope",
    "resources",
    "acr",
    "amr",
    "auth_time",
    "proved_with",
    "losses_before",
    "nonce",
    "claims",
    "expires_at",
    "request_id",
    "root_id",
    "new_sid",
];

/// Most requests wait for nobody and come from a client that the session knows, in a session that was just seen: each part
/// left out is a tenth less work for PostgreSQL.
static ISSUE: Statement =
    Statement::new(ISSUED, concat!("WITH change AS NOT MATERIALIZED {values}, ", issue_from!("change", "sid")));

/// The same in a session that was not seen within the last minute: activity is noted, too. That is what people's flows are,
/// who come back to a client after a while.
static ISSUE_AND_NOTE: Statement = Statement::new(
    ISSUED,
    concat!(
        "WITH change AS {values}, \
         seen AS (UPDATE session_activity a SET last_seen_at = c.at FROM change c \
             WHERE a.session_id = ANY (ARRAY(SELECT root_id FROM change)) AND a.session_id = c.root_id \
             AND a.last_seen_at < c.at - interval '1 minute'), ",
        issue_from!("change", "sid")
    ),
);

/// One at a time: also takes the stored request, joins the client and notes activity.
static ISSUE_WITH_ALL: Statement = Statement::new(
    ISSUED,
    concat!(
        "WITH change AS {values}, \
         taken AS (UPDATE authorization_requests q SET completed_at = c.at, code_id = c.id, session_id = c.root_id \
             FROM change c WHERE q.id = (SELECT request_id FROM change) AND q.completed_at IS NULL RETURNING q.id), \
         gate AS (SELECT * FROM change WHERE request_id IS NULL UNION ALL SELECT change.* FROM change, taken), \
         joined AS (INSERT INTO session_clients AS j (session_id, client_id, sid, joined_at) \
             SELECT root_id, client_id, new_sid, at FROM gate WHERE sid IS NULL \
             ON CONFLICT (session_id, client_id) DO UPDATE SET joined_at = j.joined_at RETURNING sid), \
         seen AS (UPDATE session_activity a SET last_seen_at = g.at FROM gate g \
             WHERE a.session_id = (SELECT root_id FROM gate) AND a.last_seen_at < g.at - interval '1 minute'), ",
        issue_from!("gate", "coalesce(sid, (SELECT sid FROM joined))")
    ),
);

/// Issues a code in one statement with its event: founds the family, notes activity. Where the request
/// had been stored or the client is new to the session, it also takes the request and joins the client. `false` when the
/// request had been answered already; then nothing is changed.
pub async fn issue(tx: &mut Tx, new: &NewCode<'_>) -> Result<bool, Broken> {
    let new_sid = tx.new_id();
    let is_plain = new.request_id.is_none() && new.sid.is_some();
    let statement = match (is_plain, new.is_noted) {
        (true, true) => &ISSUE,
        (true, false) => &ISSUE_AND_NOTE,
        (false, _) => &ISSUE_WITH_ALL,
    };
    if !is_plain {
        tx.connect().await?;
    }
    let fields = vec![
        new.session_id.into(),
        new.code_session_id.into(),
        new.privileged_until.into(),
        new.sid.into(),
        new.user_id.into(),
        new.client_id.into(),
        new.client_epoch.into(),
        new.redirect_uri.into(),
        new.code_challenge.into(),
        new.scope.into(),
        new.resources.into(),
        new.acr.into(),
        new.amr.into(),
        new.auth_time.into(),
        new.proved_with.into(),
        new.losses_before.into(),
        new.nonce.into(),
        new.claims.into(),
        new.expires_at.into(),
        new.request_id.into(),
        new.root_id.into(),
        new_sid.into(),
    ];
    make(tx, statement, new.grant_id, fields).await
}

/// A code whose family, session, user and client are alive; itself perhaps redeemed or expired.
#[derive(Clone, Debug, QueryableByName)]
pub struct Code {
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
    /// Looked up where the scope or the claims asked for may need them.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Text>>, column_name = "user_groups")]
    pub groups: Option<Vec<String>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub scope: String,
    /// What it is worth now (`acr_now` in the schema).
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    /// The credentials that proved it; `None`: not recorded.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Uuid>>)]
    pub proved_with: Option<Vec<Uuid>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub nonce: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub claims: Option<Value>,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub resources: Vec<String>,
}

impl Joined for Code {
    const KEY: &'static str = "grant_id";
}

/// The client, and the code if all that it hangs on is alive and what it stands for still allowed, in one statement. `None`: no
/// such client.
pub async fn find_with_client(
    tx: &mut Tx,
    client_id: &str,
    grant_id: Option<Uuid>,
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
             LEFT JOIN (SELECT g.id AS grant_id, s.id AS session_id, s.kind AS session_kind, s.root_id, \
                 s.expires_at AS session_expires_at, s.epoch, g.client_id AS code_client_id, g.redirect_uri, \
                 g.code_challenge, g.code_expires_at AS expires_at, g.redeemed_at, g.user_id, s.user_claims, s.username, \
                 CASE WHEN strpos(g.scope, 'groups') > 0 OR g.claims IS NOT NULL THEN \
                     (SELECT u.groups FROM users u WHERE u.id = g.user_id) END AS user_groups, \
                 g.sid, g.scope, acr_now(g.acr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)) AS acr, \
                 amr_now(g.amr, lost_proof(g.proved_with, g.losses_before, s.lost_credentials)) AS amr, g.auth_time, \
                 g.proved_with, g.nonce, g.claims, g.resources, g.privileged_until \
                 FROM live_grants($3) g JOIN LATERAL (SELECT * FROM live_sessions($3) \
                     WHERE id = coalesce(g.privileged_session_id, g.session_id) OFFSET 0) s ON true \
                 LEFT JOIN LATERAL (SELECT withdrawn_at FROM consents WHERE user_id = g.user_id \
                     AND client_id = g.client_id OFFSET 0) n ON true \
                 WHERE g.id = $2 AND g.code_expires_at IS NOT NULL \
                     AND (n.withdrawn_at IS NULL OR (g.scope = '' AND g.claims IS NULL AND g.resources = '{}'))) k ON true \
             WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(grant_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find code")?;
    Ok(rows.into_iter().next().map(|row| (row.client, row.code.0)))
}

static REDEEM: Statement = Statement::new(
    &["grant_id", "session_id", "refresh_seed", "secret_hash", "scope", "audience", "expires_at"],
    concat!(
        "WITH change AS {values}, family AS (UPDATE grants g SET redeemed_at = c.at, refresh_seed = c.refresh_seed, \
             refresh_generation = CASE WHEN c.refresh_seed IS NULL THEN 0 ELSE 1 END, \
             refresh_rotated_at = CASE WHEN c.refresh_seed IS NOT NULL THEN c.at END FROM change c \
             WHERE g.id = ANY (ARRAY(SELECT grant_id FROM change)) AND g.id = c.grant_id \
             AND g.redeemed_at IS NULL AND g.ended_at IS NULL RETURNING c.*), ",
        insert_tokens_of!("family")
    ),
);

/// Consumes the code and issues the access token in one statement, with the family's first refresh seed if one is
/// given. `false` when it was redeemed or its family ended in the meantime; then nothing is changed. That it has not expired
/// at this instant is the caller's to see.
pub async fn redeem(
    tx: &mut Tx,
    code: &Code,
    token: &NewAccessToken<'_>,
    refresh_seed: Option<&[u8]>,
) -> Result<bool, Broken> {
    let mut fields = vec![code.grant_id.into(), code.session_id.into(), refresh_seed.into()];
    fields.extend(token.fields());
    make(tx, &REDEEM, token.id, fields).await
}

/// Whether a code is still there to be redeemed: only then may it be handed out a second time.
pub async fn is_unused(tx: &mut Tx, grant_id: Uuid) -> Result<bool, Broken> {
    use super::schema::grants;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let now = tx.now;
    let found: Option<Uuid> = grants::table
        .find(grant_id)
        .filter(grants::code_expires_at.gt(now))
        .filter(grants::redeemed_at.is_null())
        .select(grants::id)
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("look at code")?;
    Ok(found.is_some())
}
