//! Recovery codes in `credentials`: one row each, by a keyed hash; used once.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Makes these the person's codes: those before them are dead.
pub async fn replace(tx: &mut Tx, user_id: Uuid, hashes: &[String]) -> Result<(), Broken> {
    end(tx, user_id).await?;
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "INSERT INTO credentials (id, user_id, kind, secret_hash, created_at, changed_at) \
             SELECT new_id($3), $1, 'recovery', hash, $3, $3 FROM unnest($2) AS hash",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Array<sql::Text>, _>(hashes)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("insert recovery codes")?;
    Ok(())
}

/// Ends all of them; what those that were used have proved counts no more either. Returns how many there were.
pub async fn end(tx: &mut Tx, user_id: Uuid) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "UPDATE credentials SET ended_at = coalesce(ended_at, $2), withdrawn_at = $2 WHERE user_id = $1 \
             AND kind = 'recovery' AND withdrawn_at IS NULL",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("end recovery codes")
}

/// Which of these the person can use, of those made after `since`.
pub async fn load_good(
    tx: &mut Tx,
    user_id: Uuid,
    hashes: &[String],
    since: DateTime<Utc>,
) -> Result<Vec<String>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Text)]
        secret_hash: String,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT secret_hash FROM credentials WHERE user_id = $1 AND kind = 'recovery' AND ended_at IS NULL \
             AND withdrawn_at IS NULL AND secret_hash = ANY($2) AND created_at > $3",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Array<sql::Text>, _>(hashes)
        .bind::<sql::Timestamptz, _>(since),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load recovery codes")?;
    Ok(rows.into_iter().map(|row| row.secret_hash).collect())
}

/// Uses one up, and returns its id. `None` when it is none of the person's, or was used: of two uses at once one has it.
pub async fn consume(tx: &mut Tx, user_id: Uuid, hash: &str) -> Result<Option<Uuid>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Uuid)]
        id: Uuid,
    }
    let now = tx.now;
    let used: Vec<Row> = Cached(
        diesel::sql_query(
            "UPDATE credentials SET ended_at = $3, last_used_at = $3 WHERE user_id = $1 AND kind = 'recovery' \
             AND ended_at IS NULL AND withdrawn_at IS NULL AND secret_hash = $2 RETURNING id",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Text, _>(hash)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("use a recovery code")?;
    Ok(used.into_iter().next().map(|row| row.id))
}

/// How many are left.
pub async fn count(tx: &mut Tx, user_id: Uuid) -> Result<usize, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        left: i64,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT count(*) AS left FROM credentials WHERE user_id = $1 AND kind = 'recovery' AND ended_at IS NULL",
        )
        .bind::<sql::Uuid, _>(user_id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count recovery codes")?;
    Ok(rows.into_iter().next().and_then(|row| usize::try_from(row.left).ok()).unwrap_or_default())
}
