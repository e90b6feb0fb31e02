//! TOTP in `credentials`: one secret a person, sealed; a time step's code is good once.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// An authenticator app of a person's.
#[derive(Debug, QueryableByName)]
pub struct Authenticator {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    /// The shared secret, sealed with the id as associated data.
    #[diesel(sql_type = sql::Bytea)]
    pub sealed: Vec<u8>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: chrono::DateTime<chrono::Utc>,
}

/// The one that the person uses.
pub async fn find(tx: &mut Tx, user_id: Uuid) -> Result<Option<Authenticator>, Broken> {
    let rows: Vec<Authenticator> = Cached(
        diesel::sql_query(
            "SELECT id, sealed, created_at FROM credentials WHERE user_id = $1 AND kind = 'totp' AND ended_at IS NULL \
             AND suspended_at IS NULL",
        )
        .bind::<sql::Uuid, _>(user_id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find authenticator")?;
    Ok(rows.into_iter().next())
}

/// Adds it, with the step of the code that confirmed it. `false` when the person has one.
pub async fn insert(tx: &mut Tx, id: Uuid, user_id: Uuid, sealed: &[u8], step: i64) -> Result<bool, Broken> {
    let now = tx.now;
    let added = Cached(
        diesel::sql_query(
            "INSERT INTO credentials (id, user_id, kind, sealed, last_step, created_at, changed_at) \
             VALUES ($1, $2, 'totp', $3, $4, $5, $5) \
             ON CONFLICT (user_id) WHERE kind = 'totp' AND ended_at IS NULL DO NOTHING",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Bytea, _>(sealed)
        .bind::<sql::BigInt, _>(step)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("insert authenticator")?;
    Ok(added > 0)
}

/// Uses the code of a time step, and all before it, up (RFC 6238 §5.2). `false` when it was: of two at once one has it.
pub async fn use_step(tx: &mut Tx, id: Uuid, step: i64) -> Result<bool, Broken> {
    let now = tx.now;
    let used = Cached(
        diesel::sql_query(
            "UPDATE credentials SET last_step = $2, last_used_at = $3 WHERE id = $1 AND ended_at IS NULL \
             AND (last_step IS NULL OR last_step < $2)",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::BigInt, _>(step)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use a time step")?;
    Ok(used > 0)
}

/// Withdraws it. `false` when there is none.
pub async fn end(tx: &mut Tx, user_id: Uuid) -> Result<bool, Broken> {
    let now = tx.now;
    let ended = Cached(
        diesel::sql_query(
            "UPDATE credentials SET ended_at = $2, sealed = NULL WHERE user_id = $1 AND kind = 'totp' AND ended_at IS NULL",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("end authenticator")?;
    Ok(ended > 0)
}
