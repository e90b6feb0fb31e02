//! `password_resets`: one-time links for a forgotten password.

use chrono::TimeDelta;
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Whose password may be set by a link.
#[derive(Debug, QueryableByName)]
pub struct Resettable {
    #[diesel(sql_type = sql::Uuid)]
    pub user_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub username: String,
    #[diesel(sql_type = sql::Jsonb)]
    pub claims: Value,
}

/// What makes a link `r` good: not used, not expired, and older than no password of a person who may sign in.
macro_rules! good {
    () => {
        "r.used_at IS NULL AND r.expires_at > $2 AND EXISTS (SELECT FROM users u WHERE u.id = r.user_id \
         AND u.disabled_at IS NULL) AND NOT EXISTS (SELECT FROM credentials k WHERE k.user_id = r.user_id \
         AND k.kind = 'password' AND k.ended_at IS NULL AND k.changed_at > r.created_at)"
    };
}

/// Makes a link for everybody with a password who is called so or has this address, at most five; the ones before are dead.
/// An address that is known not to be verified is nobody's. Returns the links and whose they are.
pub async fn ask(tx: &mut Tx, name: &str, lifetime: TimeDelta) -> Result<Vec<(Uuid, Uuid)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Uuid)]
        id: Uuid,
        #[diesel(sql_type = sql::Uuid)]
        user_id: Uuid,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "WITH known AS (SELECT u.id FROM users u WHERE u.username_key = $1 UNION \
                 SELECT u.id FROM users u WHERE lower(u.claims->>'email') = $1 AND u.claims ? 'email'), \
             meant AS (SELECT u.id FROM known k JOIN users u ON u.id = k.id WHERE u.disabled_at IS NULL \
                 AND trim(coalesce(u.claims->>'email', '')) <> '' \
                 AND coalesce(u.claims->'email_verified', 'true') <> 'false' \
                 AND EXISTS (SELECT FROM credentials k WHERE k.user_id = u.id AND k.kind = 'password' AND k.ended_at IS NULL) \
                 ORDER BY u.id LIMIT 5), \
             ended AS (UPDATE password_resets r SET used_at = $2 FROM meant m WHERE r.user_id = m.id AND r.used_at IS NULL) \
             INSERT INTO password_resets (id, user_id, created_at, expires_at) SELECT new_id($2), m.id, $2, $3 FROM meant m \
             RETURNING id, user_id",
        )
        .bind::<sql::Text, _>(name)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now + lifetime),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("ask for a password reset")?;
    Ok(rows.into_iter().map(|row| (row.id, row.user_id)).collect())
}

/// Whose password the link is for, while it is good; does not use it.
pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Resettable>, Broken> {
    let now = tx.now;
    let rows: Vec<Resettable> = Cached(
        diesel::sql_query(concat!(
            "SELECT r.user_id, p.username, p.claims FROM password_resets r JOIN users p ON p.id = r.user_id \
             WHERE r.id = $1 AND ",
            good!()
        ))
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find a password reset")?;
    Ok(rows.into_iter().next())
}

/// Uses the link. `false` when it is not good: of two uses at once the second waits for the first and finds it used.
pub async fn consume(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    let now = tx.now;
    let used = Cached(
        diesel::sql_query(concat!("UPDATE password_resets r SET used_at = $2 WHERE r.id = $1 AND ", good!()))
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("use a password reset")?;
    Ok(used > 0)
}

/// Removes at most `limit` that expired an hour ago. Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM password_resets WHERE id IN (SELECT id FROM password_resets WHERE expires_at < $1 - interval '1 hour' \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep password resets")
}
