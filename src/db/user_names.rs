//! `user_names`: names as they are compared, for people whose names were there before they were.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A name whose key is not computed yet.
#[derive(Debug, QueryableByName)]
pub struct OpenName {
    #[diesel(sql_type = sql::Uuid)]
    pub user_id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub username: String,
}

/// Opens the names of people whom a server of the release before added: it knows no keys. It looks at people of the last two days; in
/// ASCII the folded name is the key that is there.
pub async fn open_added(tx: &mut Tx) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "INSERT INTO user_names (user_id) SELECT u.id FROM users u WHERE u.id >= uuid_floor($1 - interval '2 days') \
             AND octet_length(u.username) <> char_length(u.username) \
             AND NOT EXISTS (SELECT FROM user_names n WHERE n.user_id = u.id OFFSET 0) ON CONFLICT DO NOTHING",
        )
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("open the names of new people")?;
    Ok(())
}

/// At most `limit` of them, the oldest people first. Locked; what another replica looks at is left out.
pub async fn lock_open(tx: &mut Tx, limit: i64) -> Result<Vec<OpenName>, Broken> {
    Cached(
        diesel::sql_query(
            "SELECT n.user_id, u.username FROM user_names n JOIN LATERAL (SELECT username FROM users WHERE id = n.user_id OFFSET 0) u \
             ON true WHERE n.key IS NULL AND n.conflict_at IS NULL ORDER BY n.user_id LIMIT $1 FOR UPDATE OF n SKIP LOCKED",
        )
        .bind::<sql::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load open names")
}

/// Gives a name its key. `false`: it is somebody else's, and that is noted.
pub async fn settle(tx: &mut Tx, user_id: Uuid, key: &str) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
        conflict_at: Option<DateTime<Utc>>,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "WITH taken AS (SELECT EXISTS (SELECT FROM user_names WHERE key = $2 AND user_id <> $1) \
                 OR EXISTS (SELECT FROM users WHERE username_key = $2 AND id <> $1) AS is_so) \
             UPDATE user_names SET key = CASE WHEN NOT t.is_so THEN $2 END, conflict_at = CASE WHEN t.is_so THEN $3 END \
             FROM taken t WHERE user_id = $1 RETURNING conflict_at",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Text, _>(key)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("settle a name")?;
    Ok(rows.into_iter().all(|row| row.conflict_at.is_none()))
}
