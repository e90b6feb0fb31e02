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
    /// Whether the call may well be a long one; see [`claim`].
    #[diesel(sql_type = sql::Bool)]
    pub doubtful: bool,
    /// The party to tell, disabled or not.
    #[diesel(embed)]
    pub client: ClientRow,
}

/// What may be claimed at once.
#[derive(Clone, Debug)]
pub struct Room {
    /// Notices.
    pub all: i64,
    /// Of these, doubtful ones.
    pub doubtful: i64,
    /// Calls at once to one party, with those that are under way.
    pub each: i64,
    /// What the claimer knows of parties; of others, that none is being called.
    pub parties: Vec<Party>,
}

/// A party as the claimer knows it.
#[derive(Clone, Debug)]
pub struct Party {
    pub client_id: String,
    /// Calls of the claimer.
    pub under_way: i64,
    /// Whether it was quick to answer the last time.
    pub prompt: Option<bool>,
}

/// Claims notices that are due, in turn: each party's first before anybody's second, however long the others' lists are.
///
/// Doubtful is a call that may well be a long one: one that was tried before, one to a party that was not quick to answer
/// the last time, and any but the only one to a party of which nothing is known. They get no more than their share, so
/// that parties which never answer hold up nobody else.
pub async fn claim(tx: &mut Tx, room: &Room) -> Result<Vec<DueNotice>, Broken> {
    let now = tx.now;
    let of = &room.parties;
    Cached(
        diesel::sql_query(
            // From party to party by the index, whatever stands between them; of those that may make us wait, one at a time.
            "WITH RECURSIVE parties AS ((SELECT n.client_id FROM notices n \
                 WHERE n.delivered_at IS NULL AND n.abandoned_at IS NULL ORDER BY n.client_id LIMIT 1) \
                 UNION ALL SELECT (SELECT n.client_id FROM notices n WHERE n.delivered_at IS NULL \
                     AND n.abandoned_at IS NULL AND n.client_id > p.client_id ORDER BY n.client_id LIMIT 1) \
                     FROM parties p WHERE p.client_id IS NOT NULL), \
             known AS (SELECT * FROM unnest($2, $3, $4) AS k (client_id, under_way, prompt)), \
             waiting AS (SELECT d.id, d.due_at, d.place, d.attempts > 0 OR NOT coalesce(k.prompt, d.place = 1) AS doubtful \
                 FROM parties p LEFT JOIN known k ON k.client_id = p.client_id, \
                 LATERAL (SELECT o.*, coalesce(k.under_way, 0) + row_number() OVER (ORDER BY o.due_at, o.id) AS place \
                     FROM (SELECT n.id, n.due_at, n.attempts FROM notices n WHERE n.client_id = p.client_id \
                         AND n.delivered_at IS NULL AND n.abandoned_at IS NULL AND n.due_at <= $1 \
                         ORDER BY n.due_at, n.id \
                         LIMIT least(greatest($5 - coalesce(k.under_way, 0), 0), CASE WHEN k.prompt THEN $5 ELSE 1 END)) \
                     o) d), \
             ranked AS (SELECT w.*, row_number() OVER (PARTITION BY w.doubtful ORDER BY w.place, w.due_at) AS turn \
                 FROM waiting w), \
             chosen AS (SELECT id, doubtful FROM ranked WHERE NOT doubtful OR turn <= $6 \
                 ORDER BY place, doubtful, due_at LIMIT $7), \
             taken AS (SELECT n.id FROM notices n WHERE n.id = ANY (ARRAY(SELECT id FROM chosen)) AND n.delivered_at IS NULL \
                 AND n.abandoned_at IS NULL AND n.due_at <= $1 FOR NO KEY UPDATE OF n SKIP LOCKED), \
             claimed AS (UPDATE notices n SET due_at = $8, attempts = n.attempts + 1 WHERE n.id = ANY (ARRAY(SELECT id FROM taken)) \
                 RETURNING n.id, n.session_id, n.client_id, n.sid, n.user_id, n.created_at, n.attempts) \
             SELECT n.id, n.session_id, s.kind AS session_kind, n.sid, n.user_id, n.created_at, n.attempts, o.doubtful, \
             c.client_id, c.metadata, c.secret_hash, c.session_epoch, c.disabled_at \
             FROM claimed n JOIN chosen o ON o.id = n.id \
             JOIN LATERAL (SELECT kind FROM sessions WHERE id = n.session_id OFFSET 0) s ON true \
             JOIN LATERAL (SELECT * FROM clients WHERE client_id = n.client_id OFFSET 0) c ON true",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Array<sql::Text>, _>(of.iter().map(|party| party.client_id.as_str()).collect::<Vec<_>>())
        .bind::<sql::Array<sql::BigInt>, _>(of.iter().map(|party| party.under_way).collect::<Vec<_>>())
        .bind::<sql::Array<sql::Nullable<sql::Bool>>, _>(of.iter().map(|party| party.prompt).collect::<Vec<_>>())
        .bind::<sql::BigInt, _>(room.each)
        .bind::<sql::BigInt, _>(room.doubtful)
        .bind::<sql::BigInt, _>(room.all)
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
/// at the last two minutes, and no further than at parties that had just joined. A session that expired or went idle had no
/// request at its end, and many of them may end at once: they are left out.
pub async fn queue_late(tx: &mut Tx) -> Result<(), Broken> {
    let now = tx.now;
    let queued = Cached(
        diesel::sql_query(concat!(
            "WITH ended AS (SELECT s.id, s.kind, s.user_id, s.ended_at FROM sessions s \
                 WHERE s.ended_at > $1 - interval '2 minutes' AND s.ended_at <= $1 AND s.ended_at IS NOT NULL \
                 AND s.end_reason NOT IN ('expired', 'idle') \
                 AND EXISTS (SELECT FROM session_clients k WHERE k.session_id = s.id \
                     AND k.joined_at > s.ended_at - interval '1 minute' AND NOT EXISTS (SELECT FROM notices n \
                         WHERE n.session_id = k.session_id AND n.client_id = k.client_id) OFFSET 0)), \
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

/// Removes what was settled days ago; returns how many, at most `limit`. The trail keeps what became of them.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM notices WHERE id = ANY (ARRAY(SELECT id FROM notices WHERE id < uuid_floor($1 - interval '2 days') \
             AND coalesce(delivered_at, abandoned_at) < $1 - interval '2 days' ORDER BY id LIMIT $2 \
             FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep notices")
}
