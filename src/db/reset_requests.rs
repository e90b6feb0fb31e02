//! `reset_requests`: requests for password reset links that wait for their job.
//!
//! Invariants: adding one reads and writes the same whoever is named; they are taken in turn by source, so a source that asks
//! for many keeps nobody else waiting.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Trace, Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How many may wait.
const MOST: i64 = 10_000;

/// One that waited.
#[derive(Debug, QueryableByName)]
pub struct ResetRequest {
    #[diesel(sql_type = sql::Text)]
    pub name: String,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub request_id: Option<Uuid>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub asked_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Bytea>)]
    source_hash: Option<Vec<u8>>,
    #[diesel(sql_type = sql::Nullable<sql::Bytea>)]
    agent_hash: Option<Vec<u8>>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    place: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    device: Option<String>,
    #[diesel(sql_type = sql::Text)]
    trace: String,
}

impl ResetRequest {
    /// Who asked, for the events and the mail.
    #[must_use]
    pub fn trace(&self) -> Trace {
        Trace {
            request_id: self.trace.clone(),
            source_hash: self.source_hash.clone(),
            agent_hash: self.agent_hash.clone(),
            place: self.place.clone(),
            device: self.device.clone(),
            ..Trace::default()
        }
    }
}

/// Adds one. `false`: too many wait already.
pub async fn insert(tx: &mut Tx, name: &str, request_id: Option<Uuid>) -> Result<bool, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let trace = tx.trace.clone();
    let added = Cached(
        diesel::sql_query(
            "INSERT INTO reset_requests (id, name, request_id, asked_at, source_hash, agent_hash, place, device, trace, turn_at) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $4 + interval '1 second' \
                 * (SELECT count(*) FROM reset_requests WHERE source_hash = $5) \
             WHERE (SELECT count(*) FROM (SELECT FROM reset_requests ORDER BY id LIMIT $10) w) < $10",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Text, _>(name)
        .bind::<sql::Nullable<sql::Uuid>, _>(request_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.source_hash)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.agent_hash)
        .bind::<sql::Nullable<sql::Text>, _>(trace.place)
        .bind::<sql::Nullable<sql::Text>, _>(trace.device)
        .bind::<sql::Text, _>(trace.request_id)
        .bind::<sql::BigInt, _>(MOST),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("insert a reset request")?;
    Ok(added > 0)
}

/// Takes the one whose turn it is of those that nobody else is looking at; it comes back if the transaction fails.
pub async fn take(tx: &mut Tx) -> Result<Option<ResetRequest>, Broken> {
    let rows: Vec<ResetRequest> = Cached(diesel::sql_query(
        "DELETE FROM reset_requests WHERE id = (SELECT id FROM reset_requests ORDER BY turn_at, id LIMIT 1 \
         FOR UPDATE SKIP LOCKED) \
         RETURNING name, request_id, asked_at, source_hash, agent_hash, place, device, trace",
    ))
    .load(&mut tx.conn())
    .await
    .or_broken("take a reset request")?;
    Ok(rows.into_iter().next())
}
