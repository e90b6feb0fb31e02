//! `users` and their password in `credentials`.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, Queryable, Selectable, SelectableHelper};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    schema::{credentials, users},
    session_ends::{Of, look_soon},
    work::OrBroken,
};
use crate::failure::Broken;

/// A person who can sign in.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: Uuid,
    pub username: String,
    pub claims: Value,
    pub session_epoch: i32,
    pub admin_at: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
}

/// How names are compared: lower case, without blanks around them.
#[must_use]
pub fn username_key(username: &str) -> String {
    username.trim().to_lowercase()
}

pub async fn find_by_username(tx: &mut Tx, username: &str) -> Result<Option<User>, Broken> {
    users::table
        .filter(users::username_key.eq(username_key(username)))
        .select(User::as_select())
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find user")
}

/// The person and the Argon2id hash of their password, in one look-up.
pub async fn find_with_password(tx: &mut Tx, username: &str) -> Result<Option<(User, Option<String>)>, Broken> {
    let hash = credentials::table
        .filter(credentials::user_id.eq(users::id))
        .filter(credentials::kind.eq("password"))
        .filter(credentials::ended_at.is_null())
        .select(credentials::secret_hash)
        .single_value();
    users::table
        .filter(users::username_key.eq(username_key(username)))
        .select((User::as_select(), hash))
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find user with password")
}

/// Adds a person; `None` when the name is taken.
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
    diesel::insert_into(users::table)
        .values((
            users::id.eq(id),
            users::username.eq(username.trim()),
            users::username_key.eq(username_key(username)),
            users::claims.eq(claims),
            users::admin_at.eq(admin.then_some(now)),
            users::created_at.eq(now),
            users::updated_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .returning(User::as_returning())
        .get_result(&mut tx.conn())
        .await
        .optional()
        .or_broken("insert user")
}

pub async fn set_claims(tx: &mut Tx, id: Uuid, claims: &Value) -> Result<(), Broken> {
    let now = tx.now;
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

/// Whether this is still the hash of the person's password. Locks it: who changes it, and ends what it has begun, comes after
/// what is begun with it now, or before.
pub async fn hold_password(tx: &mut Tx, user_id: Uuid, verified: &str) -> Result<bool, Broken> {
    let stored: Option<Option<String>> = credentials::table
        .filter(credentials::user_id.eq(user_id))
        .filter(credentials::kind.eq("password"))
        .filter(credentials::ended_at.is_null())
        .select(credentials::secret_hash)
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("hold password")?;
    Ok(stored.flatten().as_deref() == Some(verified))
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
