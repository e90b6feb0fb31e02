//! `notices`: the outbox. What others must be told is queued by the statement that makes it so, and stays until it was
//! delivered or given up.
//!
//! Whoever claims a notice holds it for a while; if they die, it is due again. So each is delivered at least once, and by
//! one replica at a time.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx,
    audit_events::{insert_event, with_event},
    clients::ClientRow,
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// Queues a logout for every party of the sessions in the CTE `ended`, which has `id, kind, user_id, ended_at`. Parties are
/// those of a session's whole life, whatever became of their tokens. A service session is nobody's to sign out of.
macro_rules! queue_logouts {
    () => {
        "INSERT INTO notices (id, kind, session_id, client_id, sid, user_id, created_at, due_at) \
         SELECT new_id(e.ended_at), 'backchannel_logout', e.id, k.client_id, k.sid, e.user_id, e.ended_at, e.ended_at \
         FROM ended e \
         JOIN LATERAL (SELECT client_id, sid FROM session_clients WHERE session_id = e.id OFFSET 0) k ON true \
         JOIN LATERAL (SELECT metadata FROM clients WHERE client_id = k.client_id OFFSET 0) c ON true \
         WHERE e.kind <> 'service' AND c.metadata ? 'backchannel_logout_uri' \
         ON CONFLICT (session_id, client_id, kind) DO NOTHING RETURNING id"
    };
}
pub(super) use queue_logouts;

/// How long whoever claimed a notice has it to themselves: longer than a call may take.
const LEASE: TimeDelta = TimeDelta::seconds(20);

/// A notice that this replica is to deliver now.
#[derive(Clone, Debug, QueryableByName)]
pub struct DueNotice {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub session_kind: String,
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// How often it was tried, this time included.
    #[diesel(sql_type = sql::Integer)]
    pub attempts: i32,
    /// The party to tell, disabled or not.
    #[diesel(embed)]
    pub client: ClientRow,
}

/// Claims at most `limit` notices that are due, at most `each` of any one party, and none of the parties `except`: whoever
/// is slow holds up nobody else.
pub async fn claim(tx: &mut Tx, limit: i64, each: i64, except: &[&str]) -> Result<Vec<DueNotice>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH open AS (SELECT id, client_id, due_at FROM notices WHERE delivered_at IS NULL AND abandoned_at IS NULL \
                 AND due_at <= $1 AND client_id <> ALL ($2) ORDER BY due_at LIMIT 1000), \
             ranked AS (SELECT id, due_at, row_number() OVER (PARTITION BY client_id ORDER BY due_at, id) AS place FROM open), \
             taken AS (SELECT n.id FROM notices n WHERE n.id IN (SELECT id FROM ranked WHERE place <= $3 ORDER BY due_at \
                 LIMIT $4) AND n.delivered_at IS NULL AND n.abandoned_at IS NULL AND n.due_at <= $1 \
                 FOR NO KEY UPDATE SKIP LOCKED) \
             UPDATE notices n SET due_at = $5, attempts = n.attempts + 1 FROM taken t, sessions s, clients c \
             WHERE n.id = t.id AND s.id = n.session_id AND c.client_id = n.client_id \
             RETURNING n.id, n.session_id, s.kind AS session_kind, n.sid, n.user_id, n.created_at, n.attempts, \
             c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Array<sql::Text>, _>(except)
        .bind::<sql::BigInt, _>(each)
        .bind::<sql::BigInt, _>(limit)
        .bind::<sql::Timestamptz, _>(now + LEASE),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("claim notices")
}

/// The party took it: notes that with its event, in one statement. `false` when it was settled already.
pub async fn deliver(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    settle(tx, id, None).await
}

/// Gives it up: nobody tries again. With its event, in one statement; `false` when it was settled already.
pub async fn abandon(tx: &mut Tx, id: Uuid, failure: &str) -> Result<bool, Broken> {
    settle(tx, id, Some(failure)).await
}

async fn settle(tx: &mut Tx, id: Uuid, failure: Option<&str>) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        settled: i64,
    }
    let query = with_event(
        tx,
        concat!(
            "WITH settled AS (UPDATE notices SET delivered_at = CASE WHEN $16 IS NULL THEN $2 END, \
                 abandoned_at = CASE WHEN $16 IS NOT NULL THEN $2 END, failure = coalesce($16, failure) \
                 WHERE id = $15 AND delivered_at IS NULL AND abandoned_at IS NULL RETURNING id), \
             events AS (",
            insert_event!("settled"),
            ") SELECT count(*) AS settled FROM settled"
        ),
    )?
    .bind::<sql::Uuid, _>(id)
    .bind::<sql::Nullable<sql::Text>, _>(failure);
    let rows: Vec<Row> = Cached(query).load(&mut tx.conn()).await.or_broken("settle notice")?;
    Ok(rows.into_iter().next().is_some_and(|row| row.settled > 0))
}

/// It failed for now: due again at `due_at`.
pub async fn postpone(tx: &mut Tx, id: Uuid, due_at: DateTime<Utc>, failure: &str) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(
            "UPDATE notices SET due_at = $2, failure = $3 WHERE id = $1 AND delivered_at IS NULL AND abandoned_at IS NULL",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(due_at)
        .bind::<sql::Text, _>(failure),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("postpone notice")?;
    Ok(())
}

/// Queues what the end of a session could not see: a party whose joining was being committed at that very moment. It looks
/// at the last two minutes, and no further than at parties that had just joined: many sessions may end at once.
pub async fn queue_late(tx: &mut Tx) -> Result<(), Broken> {
    let now = tx.now;
    let queued = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (SELECT s.id, s.kind, s.user_id, s.ended_at FROM sessions s \
                 WHERE s.ended_at > $1 - interval '2 minutes' AND s.ended_at <= $1 \
                 AND EXISTS (SELECT FROM session_clients k WHERE k.session_id = s.id \
                     AND k.joined_at > s.ended_at - interval '1 minute' AND NOT EXISTS (SELECT FROM notices n \
                         WHERE n.session_id = k.session_id AND n.client_id = k.client_id))), \
             queued AS (",
            queue_logouts!(),
            ") SELECT id FROM queued"
        ))
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("queue late notices")?;
    tx.queued(queued > 0);
    Ok(())
}

/// How many have neither been delivered nor given up, for the metrics.
pub async fn count_pending(tx: &mut Tx) -> Result<i64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        pending: i64,
    }
    let rows: Vec<Row> = Cached(diesel::sql_query(
        "SELECT count(*) AS pending FROM notices WHERE delivered_at IS NULL AND abandoned_at IS NULL",
    ))
    .load(&mut tx.conn())
    .await
    .or_broken("count pending notices")?;
    Ok(rows.into_iter().next().map_or(0, |row| row.pending))
}

/// Removes what was settled days ago; returns how many, at most `limit`. The trail keeps what became of them.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE id < uuid_floor($1 - interval '2 days') \
             AND coalesce(delivered_at, abandoned_at) < $1 - interval '2 days' ORDER BY id LIMIT $2 \
             FOR UPDATE SKIP LOCKED)",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep notices")
}
