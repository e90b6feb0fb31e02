//! `password_resets`: one-time links for a forgotten password.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, statement::Cached, users::username_key, work::OrBroken};
use crate::{failure::Broken, unicode::name_key};

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

/// A person whom a request for a link means.
#[derive(Debug, QueryableByName)]
pub struct Asked {
    #[diesel(sql_type = sql::Uuid)]
    pub user_id: Uuid,
    /// Their new link; `None`: their mailbox has enough of them, a good one among them.
    #[diesel(sql_type = sql::Nullable<sql::Uuid>, column_name = "id")]
    pub link: Option<Uuid>,
}

/// How many links a mailbox gets within the lifetime of one, and within a day. Beyond that it gets one when it has no good one,
/// and none that died of wrong codes within a day.
const AT_ONCE: i64 = 3;
const A_DAY: i64 = 10;

/// Makes a link for everybody with a password who is called so or has this address, at most five; those before stay good.
/// An address that is known not to be verified is nobody's.
pub async fn ask(tx: &mut Tx, name: &str, asked_at: DateTime<Utc>, lifetime: TimeDelta) -> Result<Vec<Asked>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(concat!(
            "WITH known AS (SELECT u.id FROM users u WHERE u.username_key IN ($1, $7) UNION \
                 SELECT user_id FROM user_names WHERE key = $7 UNION \
                 SELECT u.id FROM users u WHERE lower(u.claims->>'email') = ANY (ARRAY[$1, $7]) AND u.claims ? 'email'), \
             meant AS (SELECT u.id, lower(u.claims->>'email') AS email FROM known k JOIN users u ON u.id = k.id WHERE u.disabled_at IS NULL \
                 AND trim(coalesce(u.claims->>'email', '')) <> '' \
                 AND coalesce(u.claims->'email_verified', 'true') <> 'false' \
                 AND EXISTS (SELECT FROM credentials k WHERE k.user_id = u.id AND k.kind = 'password' AND k.ended_at IS NULL) \
                 ORDER BY u.id LIMIT 5), \
             sent AS (SELECT m.id, count(*) FILTER (WHERE r.created_at > $2 - ($3 - $2)) AS lately, count(r.id) AS today, \
                 count(*) FILTER (WHERE r.user_id = m.id AND (r.codes >= $8 OR ",
            good!(),
            ")) AS good FROM meant m \
                 LEFT JOIN LATERAL (SELECT r.* FROM users o JOIN password_resets r ON r.user_id = o.id \
                     AND r.created_at > $2 - interval '1 day' \
                     WHERE lower(o.claims->>'email') = m.email AND o.claims ? 'email') r ON true GROUP BY m.id), \
             made AS (INSERT INTO password_resets (id, user_id, created_at, expires_at) SELECT new_id($2), s.id, $4, $3 FROM sent s \
                 WHERE s.good = 0 OR (s.lately < $5 AND s.today < $6) RETURNING id, user_id) \
             SELECT m.id AS user_id, made.id FROM meant m LEFT JOIN made ON made.user_id = m.id"
        ))
        .bind::<sql::Text, _>(username_key(name))
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Timestamptz, _>(now + lifetime)
        .bind::<sql::Timestamptz, _>(asked_at)
        .bind::<sql::BigInt, _>(AT_ONCE)
        .bind::<sql::BigInt, _>(A_DAY)
        .bind::<sql::Text, _>(name_key(name))
        .bind::<sql::Integer, _>(CODES),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("ask for a password reset")
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

/// How many codes are looked at for one link; it dies of the last wrong one.
const CODES: i32 = 5;

/// Counts a code that was given with the link, before it is looked at. `None`: the link is not good, or has had all of its codes.
/// `Some(true)`: this is the last one.
pub async fn count_code(tx: &mut Tx, id: Uuid) -> Result<Option<bool>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Integer)]
        codes: i32,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            "UPDATE password_resets r SET codes = r.codes + 1 WHERE r.id = $1 AND r.codes < $3 AND ",
            good!(),
            " RETURNING r.codes"
        ))
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Integer, _>(CODES),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count a code with a password reset")?;
    Ok(rows.into_iter().next().map(|row| row.codes >= CODES))
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

/// Removes at most `limit` that expired a day ago: those of a day are counted. Returns how many.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "DELETE FROM password_resets WHERE id = ANY (ARRAY(SELECT id FROM password_resets WHERE expires_at < $1 - interval '1 day' \
             ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep password resets")
}
