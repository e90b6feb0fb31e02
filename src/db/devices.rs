//! `devices`: the browsers in which a person has signed in, known by a cookie. Not for who is signed in there: a device proves
//! nobody, and opens nothing.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// How many of a person are remembered.
const OF_A_PERSON: i64 = 20;
/// How many people a browser is remembered for.
const OF_A_BROWSER: i64 = 8;
/// How long one is remembered that nobody signs in with.
const KEPT: TimeDelta = TimeDelta::days(400);
/// How soon after its cookie was renewed the one before may still be on its way: two tabs, a form sent twice.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(1);

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = sql::Uuid)]
    id: Uuid,
}

/// The person's device with this cookie.
pub async fn find(tx: &mut Tx, user_id: Uuid, shown: &[u8]) -> Result<Option<Uuid>, Broken> {
    let rows: Vec<Id> = Cached(
        diesel::sql_query(
            "SELECT id FROM devices WHERE user_id = $1 AND secret_hash = $2 \
             UNION ALL SELECT id FROM devices WHERE user_id = $1 AND previous_hash = $2 LIMIT 1",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Bytea, _>(shown),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find device")?;
    Ok(rows.into_iter().next().map(|row| row.id))
}

/// Whose device has this cookie; of several people the same one each time.
pub async fn find_person(tx: &mut Tx, shown: &[u8]) -> Result<Option<Uuid>, Broken> {
    let rows: Vec<Id> = Cached(
        diesel::sql_query(
            "SELECT user_id AS id FROM (SELECT id, user_id FROM devices WHERE secret_hash = $1 \
             UNION ALL SELECT id, user_id FROM devices WHERE previous_hash = $1) d ORDER BY d.id LIMIT 1",
        )
        .bind::<sql::Bytea, _>(shown),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find the person of a device")?;
    Ok(rows.into_iter().next().map(|row| row.id))
}

/// Gives every person of the browser that shows `shown` the cookie `new` in its place. Returns whether there is such a
/// browser, and its cookie was not renewed just before.
pub async fn rotate(tx: &mut Tx, shown: &[u8], new: &[u8]) -> Result<bool, Broken> {
    let now = tx.now;
    let rotated = Cached(
        diesel::sql_query(
            "WITH d AS (SELECT id FROM devices WHERE secret_hash = $1 \
                 UNION SELECT id FROM devices WHERE previous_hash = $1 AND rotated_at < $4), \
             k AS (SELECT id FROM devices WHERE id = ANY (ARRAY(SELECT id FROM d)) ORDER BY id FOR UPDATE) \
             UPDATE devices SET secret_hash = $2, previous_hash = $1, rotated_at = $3 \
             WHERE id = ANY (ARRAY(SELECT id FROM k)) AND (secret_hash = $1 OR rotated_at < $4)",
        )
        .bind::<sql::Bytea, _>(shown)
        .bind::<sql::Bytea, _>(new)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now - UNDER_WAY),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("renew device")?;
    Ok(rotated > 0)
}

/// The present secret of the browser whose cookie was renewed just before.
pub async fn find_present(tx: &mut Tx, shown: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Bytea)]
        secret_hash: Vec<u8>,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query("SELECT secret_hash FROM devices WHERE previous_hash = $1 ORDER BY id LIMIT 1")
            .bind::<sql::Bytea, _>(shown),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find present device")?;
    Ok(rows.into_iter().next().map(|row| row.secret_hash))
}

/// What makes a browser known to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    SignIn,
    /// Strangers do not keep the user out there, but nobody has signed in there yet (`known_device`).
    PasswordReset,
}

/// Notes that the person is known in the browser with this secret. What is more than is kept of a person, or for a browser,
/// goes: the ones longest unused.
pub async fn note(tx: &mut Tx, user_id: Uuid, secret_hash: &[u8], by: KnownBy) -> Result<(), Broken> {
    let (id, now, label) = (tx.new_id(), tx.now, tx.trace.device.clone());
    Cached(
        diesel::sql_query(
            "INSERT INTO devices AS d (id, user_id, secret_hash, rotated_at, created_at, used_at, label, signed_in_at) \
             VALUES ($1, $2, $3, $4, $4, $4, $5, $6) ON CONFLICT (user_id, secret_hash) \
             DO UPDATE SET used_at = $4, label = coalesce($5, d.label), signed_in_at = coalesce(d.signed_in_at, $6)",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Bytea, _>(secret_hash)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Text>, _>(label)
        .bind::<sql::Nullable<sql::Timestamptz>, _>((by == KnownBy::SignIn).then_some(now)),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("note device")?;
    Cached(
        diesel::sql_query(
            "DELETE FROM devices WHERE id = ANY (ARRAY(\
             (SELECT id FROM devices WHERE user_id = $1 ORDER BY used_at DESC, id DESC OFFSET $3) UNION \
             (SELECT id FROM devices WHERE secret_hash = $2 ORDER BY used_at DESC, id DESC OFFSET $4)))",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Bytea, _>(secret_hash)
        .bind::<sql::BigInt, _>(OF_A_PERSON)
        .bind::<sql::BigInt, _>(OF_A_BROWSER),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("bound devices")?;
    Ok(())
}

/// A device as its person sees it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Device {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub label: Option<String>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub used_at: DateTime<Utc>,
}

/// The person's devices, the latest first.
pub async fn load(tx: &mut Tx, user_id: Uuid) -> Result<Vec<Device>, Broken> {
    Cached(
        diesel::sql_query(
            "SELECT id, label, created_at, used_at FROM devices WHERE user_id = $1 ORDER BY used_at DESC, id DESC",
        )
        .bind::<sql::Uuid, _>(user_id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load devices")
}

/// Forgets the person's devices: the one of this id, or all but the one that shows `keep`.
pub async fn forget(tx: &mut Tx, user_id: Uuid, id: Option<Uuid>, keep: Option<&[u8]>) -> Result<usize, Broken> {
    Cached(
        diesel::sql_query(
            "DELETE FROM devices WHERE user_id = $1 AND coalesce(id = $2, true) \
             AND ($3 IS NULL OR (secret_hash <> $3 AND previous_hash IS DISTINCT FROM $3))",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(id)
        .bind::<sql::Nullable<sql::Bytea>, _>(keep),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("forget devices")
}

/// Removes those that nobody has signed in with for long; how many, at most `limit`.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM devices WHERE id = ANY (ARRAY(SELECT id FROM devices WHERE used_at < $1 ORDER BY used_at \
             LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(now - KEPT)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep devices")
}
