//! `authorization_requests`: requests that wait for a person; and the one look-up that an authorization decision needs.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, clients::ClientRow, outer_join::Maybe, sessions::LiveSession, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A stored request.
#[derive(Clone, Debug, QueryableByName)]
pub struct AuthorizationRequest {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub session_id: Option<Uuid>,
    #[diesel(sql_type = sql::Text)]
    pub client_id: String,
    #[diesel(sql_type = sql::Text)]
    pub parameters: String,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub pushed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub selected_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub consented_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub denied_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub code_id: Option<Uuid>,
    /// When somebody last proved who they are for this very request, …
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub proved_at: Option<DateTime<Utc>>,
    /// … who, …
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub proved_by: Option<Uuid>,
    /// … how strongly, …
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub proved_acr: Option<String>,
    /// … and by what.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Text>>)]
    pub proved_amr: Option<Vec<String>>,
    /// The credentials that proved it.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Uuid>>)]
    pub proved_with: Option<Vec<Uuid>>,
    /// The person went on without the stronger proof that was only wished for.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub declined_at: Option<DateTime<Utc>>,
    /// The person agreed that their privileged session in another browser ends.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub supersede_at: Option<DateTime<Utc>>,
}

/// A request that a browser brought.
pub async fn insert(
    tx: &mut Tx,
    session_id: Option<Uuid>,
    client_id: &str,
    parameters: &str,
    expires_at: DateTime<Utc>,
) -> Result<Uuid, Broken> {
    let id = add(tx, session_id, client_id, parameters, None, expires_at).await?;
    if let Some(session_id) = session_id {
        bound(tx, session_id).await?;
    }
    Ok(id)
}

/// A request that its client pushed (RFC 9126); no browser has it yet.
pub async fn insert_pushed(
    tx: &mut Tx,
    client_id: &str,
    parameters: &str,
    expires_at: DateTime<Utc>,
) -> Result<Uuid, Broken> {
    let now = tx.now;
    add(tx, None, client_id, parameters, Some(now), expires_at).await
}

/// How many of a session are kept: a tab each, and a person has tabs.
const OF_A_SESSION: i64 = 64;
/// How many octets they have: the usual ones have a few hundred, and one may be large. The newest is kept, whatever it has.
const OCTETS_OF_A_SESSION: i64 = 256 * 1024;

/// The session's oldest requests make room for a new one, so that asking without end fills nothing.
async fn bound(tx: &mut Tx, session_id: Uuid) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(
            "DELETE FROM authorization_requests WHERE id = ANY (ARRAY(SELECT id FROM (\
             SELECT id, row_number() OVER newest AS number, sum(octet_length(parameters)) OVER newest AS octets \
             FROM authorization_requests WHERE session_id = $1 WINDOW newest AS (ORDER BY created_at DESC, id DESC)) r \
             WHERE number > $2 OR (number > 1 AND octets > $3)))",
        )
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::BigInt, _>(OF_A_SESSION)
        .bind::<sql::BigInt, _>(OCTETS_OF_A_SESSION),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("bound authorization requests")?;
    Ok(())
}

async fn add(
    tx: &mut Tx,
    session_id: Option<Uuid>,
    client_id: &str,
    parameters: &str,
    pushed_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
) -> Result<Uuid, Broken> {
    use super::schema::authorization_requests as requests;
    use diesel::ExpressionMethods;
    let (id, now) = (tx.new_id(), tx.now);
    diesel::insert_into(requests::table)
        .values((
            requests::id.eq(id),
            requests::session_id.eq(session_id),
            requests::client_id.eq(client_id),
            requests::parameters.eq(parameters),
            requests::created_at.eq(now),
            requests::pushed_at.eq(pushed_at),
            requests::expires_at.eq(expires_at),
        ))
        .execute(&mut tx.conn())
        .await
        .or_broken("insert authorization request")?;
    Ok(id)
}

/// The request, unless it has expired.
pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<AuthorizationRequest>, Broken> {
    let now = tx.now;
    let rows: Vec<AuthorizationRequest> = Cached(
        diesel::sql_query(
            "SELECT id, session_id, client_id, parameters, created_at, pushed_at, selected_at, consented_at, denied_at, \
             completed_at, code_id, proved_at, proved_by, proved_acr, proved_amr, proved_with, declined_at, supersede_at FROM authorization_requests WHERE id = $1 AND expires_at > $2",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find authorization request")?;
    Ok(rows.into_iter().next())
}

/// What a person did about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Selected,
    Consented,
    Denied,
    Declined,
    Supersede,
}

/// Notes what the person did, unless the request has been answered.
pub async fn mark(tx: &mut Tx, id: Uuid, mark: Mark) -> Result<bool, Broken> {
    let now = tx.now;
    let statement = match mark {
        Mark::Selected => "UPDATE authorization_requests SET selected_at = $2 WHERE id = $1 AND completed_at IS NULL",
        Mark::Consented => "UPDATE authorization_requests SET consented_at = $2 WHERE id = $1 AND completed_at IS NULL",
        Mark::Declined => "UPDATE authorization_requests SET declined_at = $2 WHERE id = $1 AND completed_at IS NULL",
        Mark::Supersede => "UPDATE authorization_requests SET supersede_at = $2 WHERE id = $1 AND completed_at IS NULL",
        Mark::Denied => {
            "UPDATE authorization_requests SET denied_at = $2, completed_at = $2 WHERE id = $1 AND completed_at IS NULL"
        }
    };
    let changed = Cached(diesel::sql_query(statement).bind::<sql::Uuid, _>(id).bind::<sql::Timestamptz, _>(now))
        .execute(&mut tx.conn())
        .await
        .or_broken("mark authorization request")?;
    Ok(changed > 0)
}

/// What a person proved who they are with.
#[derive(Clone, Copy, Debug)]
pub struct Proved<'a> {
    pub acr: &'a str,
    /// RFC 8176.
    pub amr: &'a [&'a str],
    /// The credentials.
    pub with: &'a [Uuid],
}

/// Notes that somebody proved who they are for this very request, unless it has been answered.
pub async fn note_proof(tx: &mut Tx, id: Uuid, user_id: Uuid, proved: &Proved<'_>) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "UPDATE authorization_requests SET proved_at = $2, proved_by = $3, proved_acr = $4, proved_amr = $5, \
             proved_with = $6 WHERE id = $1 AND completed_at IS NULL",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Text, _>(proved.acr)
        .bind::<sql::Array<sql::Text>, _>(proved.amr)
        .bind::<sql::Array<sql::Uuid>, _>(proved.with),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("note a proof for a request")?;
    Ok(())
}

/// Whether the proof of this instant, by this person, still stands for the request: no credential that gave it has died.
pub async fn is_proved(tx: &mut Tx, id: Uuid, user_id: Uuid, at: DateTime<Utc>) -> Result<bool, Broken> {
    use super::schema::authorization_requests as requests;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let found: Option<Uuid> = requests::table
        .find(id)
        .filter(requests::proved_by.eq(user_id))
        .filter(requests::proved_at.eq(at))
        .select(requests::id)
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("look at a proof")?;
    Ok(found.is_some())
}

/// A request that came without a browser's cookie (pushed, or by a cross-site POST) is taken by the first browser session
/// that shows it, and it alone; from now on it waits for a person.
pub async fn claim(tx: &mut Tx, id: Uuid, session_id: Uuid, expires_at: DateTime<Utc>) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = Cached(
        diesel::sql_query(
            "UPDATE authorization_requests SET session_id = $2, created_at = $3, expires_at = $4 WHERE id = $1 \
             AND session_id IS NULL AND expires_at > $3",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(expires_at),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("claim authorization request")?;
    Ok(changed > 0)
}

/// What was noted of a stored request is undone: another person chose, allowed or proved it.
macro_rules! nothing_noted {
    () => {
        "selected_at = NULL, consented_at = NULL, declined_at = NULL, supersede_at = NULL, proved_at = NULL, \
         proved_by = NULL, proved_acr = NULL, proved_amr = NULL, proved_with = NULL"
    };
}

/// Hands a request that waits in one session to another, unless it has been answered. What was noted there does not count.
pub async fn hand_over(tx: &mut Tx, id: Uuid, from: Uuid, to: Uuid) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(concat!(
            "UPDATE authorization_requests SET session_id = $3, ",
            nothing_noted!(),
            " WHERE id = $1 AND session_id = $2 AND completed_at IS NULL"
        ))
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(from)
        .bind::<sql::Uuid, _>(to),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("hand a request over")?;
    Ok(())
}

/// What waits in one session waits in its successor: a second tab resumes as the person who signed in. What another
/// person chose, allowed or proved before does not count for them.
pub async fn follow_lineage(tx: &mut Tx, from: Uuid, to: Uuid) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(concat!(
            "UPDATE authorization_requests SET session_id = $2, ",
            nothing_noted!(),
            " WHERE session_id = $1 AND completed_at IS NULL AND expires_at > $3"
        ))
        .bind::<sql::Uuid, _>(from)
        .bind::<sql::Uuid, _>(to)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("hand requests to the successor")?;
    Ok(())
}

/// Removes at most `limit` requests that expired an hour ago or earlier, and at most as many that no browser ever took as soon
/// as they have. Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH waited AS (SELECT id FROM authorization_requests WHERE session_id IS NOT NULL \
                 AND expires_at < $1 - interval '1 hour' ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
             unseen AS (SELECT id FROM authorization_requests WHERE session_id IS NULL AND expires_at < 'infinity' AND expires_at < $1 \
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
             DELETE FROM authorization_requests \
             WHERE id = ANY (ARRAY(SELECT id FROM waited UNION ALL SELECT id FROM unseen))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep authorization requests")
}

/// All that an authorization decision is made of.
pub struct Situation {
    pub client: Option<ClientRow>,
    /// The browser's session, if its cookie names a live one.
    pub session: Option<LiveSession>,
    /// Under which `sid` the client knows it already.
    pub sid: Option<Uuid>,
    /// What the person has allowed the client before.
    pub consented: Vec<String>,
}

/// Client, session, `sid` and consent in one statement: the read half of an authorization request.
pub async fn find_situation(tx: &mut Tx, client_id: &str, session_id: Option<Uuid>) -> Result<Situation, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        client: Maybe<ClientRow>,
        #[diesel(embed)]
        session: Maybe<LiveSession>,
        #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
        sid: Option<Uuid>,
        #[diesel(sql_type = sql::Nullable<sql::Array<sql::Text>>)]
        consented: Option<Vec<String>>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at, s.id, s.kind, s.root_id, s.visitor_id, s.user_id, \
             s.secret_generation, s.acr, s.amr, s.auth_time, s.expires_at, s.epoch, s.created_at, s.last_seen_at, s.username, \
             s.user_claims, s.admin_at, s.proved_with, s.proof_lost_at IS NOT NULL AS has_lost_proof, \
             cardinality(s.lost_credentials) AS losses, j.sid, k.scope AS consented FROM (SELECT $1 AS client_id) q \
             LEFT JOIN clients c ON c.client_id = q.client_id AND c.disabled_at IS NULL \
             LEFT JOIN live_sessions($3) s ON s.id = $2 \
             LEFT JOIN LATERAL (SELECT sid FROM session_clients WHERE session_id = s.root_id AND client_id = c.client_id \
                 OFFSET 0) j ON true \
             LEFT JOIN LATERAL (SELECT scope FROM consents WHERE user_id = s.user_id AND client_id = c.client_id \
                 AND withdrawn_at IS NULL OFFSET 0) k ON true",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(session_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find the situation of a request")?;
    let row = rows.into_iter().next().ok_or_else(|| Broken::new("the situation of a request has no row"))?;
    Ok(Situation {
        client: row.client.0,
        session: row.session.0,
        sid: row.sid,
        consented: row.consented.unwrap_or_default(),
    })
}
