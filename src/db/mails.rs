//! The mail in `notices`. It is claimed apart from what relying parties are told: one mail server takes all of it, and
//! however slow that is, it holds up nobody's logout.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How long whoever claimed a mail has it to themselves: longer than a mail server may take.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// A mail that this replica is to send now.
#[derive(Clone, Debug, QueryableByName)]
pub struct DueMail {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub user_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub username: String,
    /// Of the person, as they are now: the address is among them.
    #[diesel(sql_type = sql::Jsonb)]
    pub claims: Value,
    #[diesel(sql_type = sql::Text)]
    pub template: String,
    #[diesel(sql_type = sql::Jsonb)]
    pub detail: Value,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// How often it was tried, this time included.
    #[diesel(sql_type = sql::Integer)]
    pub attempts: i32,
}

/// Queues a mail. `false` when the person has no address.
pub async fn queue(tx: &mut Tx, user_id: Uuid, template: &str, detail: &Value) -> Result<bool, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let queued = Cached(
        diesel::sql_query(
            "INSERT INTO notices (id, kind, user_id, template, detail, created_at, due_at) SELECT $1, 'mail', u.id, $3, $4, \
             $5, $5 FROM users u WHERE u.id = $2 AND trim(coalesce(u.claims->>'email', '')) <> ''",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Text, _>(template)
        .bind::<sql::Jsonb, _>(detail)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("queue mail")?;
    Ok(queued > 0)
}

/// Claims at most `limit` mails that are due, the oldest first.
pub async fn claim(tx: &mut Tx, limit: i64) -> Result<Vec<DueMail>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH due AS (SELECT id FROM notices WHERE kind = 'mail' AND delivered_at IS NULL AND abandoned_at IS NULL \
                 AND due_at <= $1 ORDER BY due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED), \
             claimed AS (UPDATE notices n SET due_at = $3, attempts = n.attempts + 1 WHERE n.id = ANY (ARRAY(SELECT id FROM due)) \
                 RETURNING n.id, n.user_id, n.template, n.detail, n.created_at, n.attempts) \
             SELECT n.id, n.user_id, u.username, u.claims, n.template, n.detail, n.created_at, n.attempts FROM claimed n \
             JOIN LATERAL (SELECT username, claims FROM users WHERE id = n.user_id OFFSET 0) u ON true",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit)
        .bind::<sql::Timestamptz, _>(now + LEASE),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("claim mail")
}
