//! `set_up_links`: the one-time link that makes the first administrator.

use chrono::{DateTime, Utc};
use diesel::sql_types as sql;
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Adds a link. Those before it stay good for their hour: they may have been printed by another replica, and an operator holds
/// one of them in their hand. All of them die with the first administrator.
pub async fn insert(tx: &mut Tx, secret_hash: &[u8], expires_at: DateTime<Utc>) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query("INSERT INTO set_up_links (secret_hash, created_at, expires_at) VALUES ($1, $2, $3)")
            .bind::<sql::Bytea, _>(secret_hash)
            .bind::<sql::Timestamptz, _>(now)
            .bind::<sql::Timestamptz, _>(expires_at),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("insert set-up link")?;
    Ok(())
}

/// Whether the link is good; does not use it.
pub async fn is_good(tx: &mut Tx, secret_hash: &[u8]) -> Result<bool, Broken> {
    use super::schema::set_up_links as links;
    use diesel::{ExpressionMethods, QueryDsl};
    let now = tx.now;
    diesel::select(diesel::dsl::exists(
        links::table.find(secret_hash).filter(links::used_at.is_null()).filter(links::expires_at.gt(now)),
    ))
    .get_result(&mut tx.conn())
    .await
    .or_broken("look at set-up link")
}

/// Uses the link; `false` when it is not good. Of two racing uses, of one link or of two, the second waits for the first: after
/// this the caller sees whether there is an administrator.
pub async fn consume(tx: &mut Tx, secret_hash: &[u8]) -> Result<bool, Broken> {
    let now = tx.now;
    Cached(diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('mooring.set_up_links'))"))
        .execute(&mut tx.conn())
        .await
        .or_broken("lock set-up links")?;
    let changed = Cached(
        diesel::sql_query(
            "UPDATE set_up_links SET used_at = $2 WHERE secret_hash = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind::<sql::Bytea, _>(secret_hash)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use set-up link")?;
    Ok(changed > 0)
}
