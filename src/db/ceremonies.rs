//! `ceremonies`: proofs that were asked for. Each is answered once, by the browser session that was asked.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// What a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A new passkey.
    Enrol,
    /// A passkey, to sign in or to sign in again.
    SignIn,
    /// A code after the password.
    SecondFactor,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::SignIn => "sign_in",
            Self::SecondFactor => "second_factor",
        }
    }
}

/// A proof about to be asked for.
#[derive(Debug)]
pub struct NewCeremony {
    pub session_id: Uuid,
    pub purpose: Purpose,
    /// The authorization request that it is for; `None`: a page of our own.
    pub request_id: Option<Uuid>,
    /// Who must answer; `None`: whoever can.
    pub user_id: Option<Uuid>,
    /// What the answer will be verified against.
    pub state: Value,
    pub expires_at: DateTime<Utc>,
}

/// One that was asked for.
#[derive(Debug, QueryableByName)]
pub struct Ceremony {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub request_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Jsonb)]
    pub state: Value,
}

/// How many a session can answer at a time: a tab each.
const OF_A_SESSION: i64 = 16;

/// Notes what is asked. The session's oldest questions make room for it, so that asking without end fills nothing.
pub async fn insert(tx: &mut Tx, new: &NewCeremony) -> Result<Uuid, Broken> {
    use super::schema::ceremonies;
    use diesel::ExpressionMethods;
    let (id, now) = (tx.new_id(), tx.now);
    diesel::insert_into(ceremonies::table)
        .values((
            ceremonies::id.eq(id),
            ceremonies::session_id.eq(new.session_id),
            ceremonies::purpose.eq(new.purpose.as_str()),
            ceremonies::request_id.eq(new.request_id),
            ceremonies::user_id.eq(new.user_id),
            ceremonies::state.eq(&new.state),
            ceremonies::created_at.eq(now),
            ceremonies::expires_at.eq(new.expires_at),
        ))
        .execute(&mut tx.conn())
        .await
        .or_broken("insert ceremony")?;
    Cached(
        diesel::sql_query(
            "DELETE FROM ceremonies WHERE id = ANY (ARRAY(SELECT id FROM ceremonies WHERE session_id = $1 \
             ORDER BY id DESC OFFSET $2))",
        )
        .bind::<sql::Uuid, _>(new.session_id)
        .bind::<sql::BigInt, _>(OF_A_SESSION),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("bound ceremonies")?;
    Ok(id)
}

/// The ceremony, while this browser session can still answer it; for a page that asks.
pub async fn find(tx: &mut Tx, id: Uuid, session_id: Uuid, purpose: Purpose) -> Result<Option<Ceremony>, Broken> {
    const STATEMENT: &str = "SELECT id, request_id, user_id, state FROM ceremonies WHERE id = $1 AND session_id = $2 \
                             AND purpose = $3 AND consumed_at IS NULL AND expires_at > $4";
    first(tx, STATEMENT, id, session_id, purpose).await
}

/// Takes the ceremony for the one answer it gets, right or wrong. `None`: it has expired, was answered, or is not for
/// this session or purpose.
pub async fn consume(tx: &mut Tx, id: Uuid, session_id: Uuid, purpose: Purpose) -> Result<Option<Ceremony>, Broken> {
    const STATEMENT: &str = "UPDATE ceremonies SET consumed_at = $4 WHERE id = $1 AND session_id = $2 AND purpose = $3 \
                             AND consumed_at IS NULL AND expires_at > $4 RETURNING id, request_id, user_id, state";
    first(tx, STATEMENT, id, session_id, purpose).await
}

async fn first(
    tx: &mut Tx,
    statement: &'static str,
    id: Uuid,
    session_id: Uuid,
    purpose: Purpose,
) -> Result<Option<Ceremony>, Broken> {
    let now = tx.now;
    let rows: Vec<Ceremony> = Cached(
        diesel::sql_query(statement)
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Uuid, _>(session_id)
            .bind::<sql::Text, _>(purpose.as_str())
            .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find ceremony")?;
    Ok(rows.into_iter().next())
}

/// Removes at most `limit` that could be answered an hour ago for the last time. Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM ceremonies WHERE id = ANY (ARRAY(SELECT id FROM ceremonies WHERE expires_at < $1 - interval '1 hour' \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep ceremonies")
}
