//! `users` and their password in `credentials`.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, sql_types as sql,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    schema::{credentials, users},
    session_ends::{Of, look_soon},
    statement::Cached,
    work::OrBroken,
};
use crate::{
    failure::Broken,
    unicode::{name_key, nfc},
};

/// A person who can sign in.
#[derive(Clone, Debug, Queryable, QueryableByName, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: Uuid,
    pub username: String,
    pub claims: Value,
    pub session_epoch: i32,
    pub admin_at: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A name as the column of this name has it: lower case, without blanks around it. Names that are the same in another form have
/// the same [`name_key`].
#[must_use]
pub fn username_key(username: &str) -> String {
    username.trim().to_lowercase()
}

/// Whom a name means: as it was typed first, then in any other Unicode form. `$1` is [`username_key`], `$2` the [`name_key`].
macro_rules! named {
    () => {
        "SELECT id, 0 AS rank FROM users WHERE username_key = $1 UNION ALL SELECT id, 1 FROM users WHERE username_key = $2 \
         UNION ALL SELECT user_id, 1 FROM user_names WHERE key = $2"
    };
}

pub async fn find_by_username(tx: &mut Tx, username: &str) -> Result<Option<User>, Broken> {
    let rows: Vec<User> = Cached(
        diesel::sql_query(concat!(
            "SELECT u.* FROM (SELECT id FROM (",
            named!(),
            ") n ORDER BY rank LIMIT 1) n JOIN LATERAL (SELECT id, username, claims, session_epoch, admin_at, disabled_at \
                 FROM users WHERE id = n.id OFFSET 0) u ON true"
        ))
        .bind::<sql::Text, _>(username_key(username))
        .bind::<sql::Text, _>(name_key(username)),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find user")?;
    Ok(rows.into_iter().next())
}

/// Whom somebody means who signs in, and the Argon2id hash of their password, in one look-up. A name goes before an address; an
/// address counts as it does for a reset link (not known to be unverified), and only where one person has it. Either is looked up
/// as it was typed, then in any other Unicode form.
pub async fn find_with_password(tx: &mut Tx, identifier: &str) -> Result<Option<(User, Option<String>)>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(embed)]
        user: User,
        #[diesel(sql_type = sql::Nullable<sql::Text>)]
        secret_hash: Option<String>,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            "SELECT u.*, k.secret_hash FROM (SELECT id FROM (",
            named!(),
            " UNION ALL SELECT min(id::text)::uuid, min(rank) FROM (SELECT id, lower(claims->>'email') AS email, \
                 CASE lower(claims->>'email') WHEN $1 THEN 2 ELSE 3 END AS rank \
                 FROM users WHERE lower(claims->>'email') = ANY (ARRAY[$1, $2]) AND claims ? 'email' \
                 AND coalesce(claims->'email_verified', 'true') <> 'false') e GROUP BY email HAVING count(*) = 1) n \
             ORDER BY rank LIMIT 1) n \
             JOIN LATERAL (SELECT id, username, claims, session_epoch, admin_at, disabled_at FROM users WHERE id = n.id OFFSET 0) u \
                 ON true \
             LEFT JOIN LATERAL (SELECT secret_hash FROM credentials WHERE user_id = u.id AND kind = 'password' \
                 AND ended_at IS NULL OFFSET 0) k ON true"
        ))
        .bind::<sql::Text, _>(username_key(identifier))
        .bind::<sql::Text, _>(name_key(identifier)),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find user with password")?;
    Ok(rows.into_iter().next().map(|row| (row.user, row.secret_hash)))
}

/// Adds a person; `None` when the name is taken, in whatever Unicode form.
pub async fn insert(tx: &mut Tx, username: &str, claims: &Value, admin: bool) -> Result<Option<User>, Broken> {
    let id = tx.new_id();
    insert_as(tx, id, username, claims, admin).await
}

/// The same, under an id that was chosen before: what a passkey was made for.
pub async fn insert_as(
    tx: &mut Tx,
    id: Uuid,
    username: &str,
    claims: &Value,
    admin: bool,
) -> Result<Option<User>, Broken> {
    let now = tx.now;
    let username = nfc(username.trim()).into_owned();
    let rows: Vec<User> = Cached(
        diesel::sql_query(concat!(
            "WITH free AS (SELECT WHERE NOT EXISTS (",
            named!(),
            ")), named AS (INSERT INTO user_names (user_id, key) SELECT $3, $2 FROM free ON CONFLICT DO NOTHING RETURNING user_id) \
             INSERT INTO users (id, username, username_key, claims, admin_at, created_at, updated_at) \
             SELECT user_id, $4, $1, $5, $6, $7, $7 FROM named \
             RETURNING id, username, claims, session_epoch, admin_at, disabled_at"
        ))
        .bind::<sql::Text, _>(username_key(&username))
        .bind::<sql::Text, _>(name_key(&username))
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Text, _>(username)
        .bind::<sql::Jsonb, _>(claims)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(admin.then_some(now))
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("insert user")?;
    Ok(rows.into_iter().next())
}

/// With another address, links for a forgotten password that were sent to the one before are dead.
pub async fn set_claims(tx: &mut Tx, id: Uuid, claims: &Value) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "UPDATE password_resets r SET used_at = $2 FROM users u WHERE u.id = $1 AND r.user_id = u.id AND r.used_at IS NULL \
             AND u.claims->>'email' IS DISTINCT FROM $3",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Text>, _>(claims.get("email").and_then(Value::as_str)),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("end reset links")?;
    diesel::update(users::table.find(id))
        .set((users::claims.eq(claims), users::updated_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("set claims")?;
    Ok(())
}

/// The groups that privileged scopes can ask for, and the scope `groups` gives. `false` when they were these already.
pub async fn set_groups(tx: &mut Tx, id: Uuid, groups: &[String]) -> Result<bool, Broken> {
    let now = tx.now;
    let groups: Vec<Option<&str>> = groups.iter().map(|group| Some(group.as_str())).collect();
    let changed = diesel::update(users::table.find(id).filter(users::groups.ne(groups.clone())))
        .set((users::groups.eq(groups), users::updated_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("set groups")?;
    Ok(changed > 0)
}

/// The groups that somebody is in.
pub async fn find_groups(tx: &mut Tx, id: Uuid) -> Result<Vec<String>, Broken> {
    let groups: Option<Vec<Option<String>>> =
        users::table.find(id).select(users::groups).first(&mut tx.conn()).await.optional().or_broken("find groups")?;
    Ok(groups.into_iter().flatten().flatten().collect())
}

/// Makes somebody an administrator, or no longer one. `false` when that they were already.
pub async fn set_admin(tx: &mut Tx, id: Uuid, admin: bool) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = diesel::update(users::table.find(id).filter(users::admin_at.is_null().eq(admin)))
        .set((users::admin_at.eq(admin.then_some(now)), users::updated_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("make administrator")?;
    Ok(changed > 0)
}

/// Disables the person and bumps the epoch, so that nothing that is in flight survives. `false` if they were already.
pub async fn disable(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = diesel::update(users::table.find(id).filter(users::disabled_at.is_null()))
        .set((
            users::disabled_at.eq(Some(now)),
            users::session_epoch.eq(users::session_epoch + 1),
            users::updated_at.eq(now),
        ))
        .execute(&mut tx.conn())
        .await
        .or_broken("disable user")?;
    if changed > 0 {
        look_soon(tx, Of::User(id)).await?;
    }
    Ok(changed > 0)
}

/// Ends every session of the person, also one whose sign-in is in flight.
pub async fn bump_epoch(tx: &mut Tx, id: Uuid) -> Result<(), Broken> {
    let now = tx.now;
    diesel::update(users::table.find(id))
        .set((users::session_epoch.eq(users::session_epoch + 1), users::updated_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("end all of user")?;
    Ok(())
}

/// Whether there is an administrator who may sign in.
pub async fn an_admin_exists(tx: &mut Tx) -> Result<bool, Broken> {
    diesel::select(diesel::dsl::exists(
        users::table.filter(users::admin_at.is_not_null()).filter(users::disabled_at.is_null()),
    ))
    .get_result(&mut tx.conn())
    .await
    .or_broken("look for an administrator")
}

/// Sets the password; `declared` is the keyed hash of a declared password it was made from.
pub async fn set_password(tx: &mut Tx, user_id: Uuid, phc: &str, declared: Option<&[u8]>) -> Result<(), Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let changed = diesel::update(
        credentials::table
            .filter(credentials::user_id.eq(user_id))
            .filter(credentials::kind.eq("password"))
            .filter(credentials::ended_at.is_null()),
    )
    .set((credentials::secret_hash.eq(phc), credentials::declared.eq(declared), credentials::changed_at.eq(now)))
    .execute(&mut tx.conn())
    .await
    .or_broken("change password")?;
    if changed == 0 {
        diesel::insert_into(credentials::table)
            .values((
                credentials::id.eq(id),
                credentials::user_id.eq(user_id),
                credentials::kind.eq("password"),
                credentials::secret_hash.eq(phc),
                credentials::declared.eq(declared),
                credentials::created_at.eq(now),
                credentials::changed_at.eq(now),
            ))
            .execute(&mut tx.conn())
            .await
            .or_broken("set password")?;
    }
    Ok(())
}

/// The id of the person's password, if this is still its hash. Locks it: who changes it, and ends what it has begun, comes
/// after what is begun with it now, or before.
pub async fn hold_password(tx: &mut Tx, user_id: Uuid, verified: &str) -> Result<Option<Uuid>, Broken> {
    let stored: Option<(Uuid, Option<String>)> = credentials::table
        .filter(credentials::user_id.eq(user_id))
        .filter(credentials::kind.eq("password"))
        .filter(credentials::ended_at.is_null())
        .select((credentials::id, credentials::secret_hash))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("hold password")?;
    Ok(stored.filter(|(_, hash)| hash.as_deref() == Some(verified)).map(|(id, _)| id))
}

/// Replaces the hash of an unchanged password by one of other parameters; a password that was changed meanwhile stays.
pub async fn rehash_password(tx: &mut Tx, user_id: Uuid, verified: &str, phc: &str) -> Result<(), Broken> {
    diesel::update(
        credentials::table
            .filter(credentials::user_id.eq(user_id))
            .filter(credentials::kind.eq("password"))
            .filter(credentials::ended_at.is_null())
            .filter(credentials::secret_hash.eq(verified)),
    )
    .set(credentials::secret_hash.eq(phc))
    .execute(&mut tx.conn())
    .await
    .or_broken("rehash password")?;
    Ok(())
}

/// The person's password: whether there is one, and the keyed hash of the declared password it was made from. Locks it,
/// so that what is decided from the answer still holds when it is written.
pub async fn find_declared_password(tx: &mut Tx, user_id: Uuid) -> Result<Option<Option<Vec<u8>>>, Broken> {
    credentials::table
        .filter(credentials::user_id.eq(user_id))
        .filter(credentials::kind.eq("password"))
        .filter(credentials::ended_at.is_null())
        .select(credentials::declared)
        .for_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find declared password")
}
