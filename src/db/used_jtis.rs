//! `used_jtis`: client assertions are good once (RFC 7523 §3, item 7).

use chrono::{DateTime, Utc};
use diesel::sql_types as sql;
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Takes the assertion; `false` when it was used before.
pub async fn consume(tx: &mut Tx, client_id: &str, jti_hash: &[u8], expires_at: DateTime<Utc>) -> Result<bool, Broken> {
    let inserted = Cached(
        diesel::sql_query(
            "INSERT INTO used_jtis (expires_at, client_id, jti_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind::<sql::Timestamptz, _>(expires_at)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Bytea, _>(jti_hash),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use assertion")?;
    Ok(inserted > 0)
}
