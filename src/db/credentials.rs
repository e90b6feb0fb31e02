//! `credentials`: what people prove with who they are. Here the passkeys, and which kinds somebody has; the password's
//! statements are beside those of `users`.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper,
    sql_types as sql,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Tx,
    schema::{credentials, users},
    statement::Cached,
    users::User,
    work::OrBroken,
};
use crate::failure::Broken;

const PASSKEY: &str = "passkey";

/// A passkey that was not withdrawn; it may be suspended.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = credentials)]
pub struct Passkey {
    pub id: Uuid,
    pub user_id: Uuid,
    /// The WebAuthn credential id.
    pub handle: Option<Vec<u8>>,
    /// As `authentication::passkey` keeps it.
    pub passkey: Option<Value>,
    pub label: Option<String>,
    /// An attestation showed that its key cannot leave its hardware.
    pub attested_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub suspended_at: Option<DateTime<Utc>>,
}

impl Passkey {
    /// What its person calls it. Each has a name; the column is empty in rows of other kinds.
    #[must_use]
    pub fn name(&self) -> &str {
        self.label.as_deref().unwrap_or_default()
    }
}

/// A passkey about to be kept.
#[derive(Debug)]
pub struct NewPasskey<'a> {
    pub user_id: Uuid,
    pub handle: &'a [u8],
    pub passkey: &'a Value,
    pub label: &'a str,
    pub attested: bool,
}

/// Keeps a passkey. `None`: somebody has it already, perhaps this very person.
pub async fn insert_passkey(tx: &mut Tx, new: &NewPasskey<'_>) -> Result<Option<Uuid>, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    diesel::insert_into(credentials::table)
        .values((
            credentials::id.eq(id),
            credentials::user_id.eq(new.user_id),
            credentials::kind.eq(PASSKEY),
            credentials::handle.eq(new.handle),
            credentials::passkey.eq(new.passkey),
            credentials::label.eq(new.label),
            credentials::attested_at.eq(new.attested.then_some(now)),
            credentials::created_at.eq(now),
            credentials::changed_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .returning(credentials::id)
        .get_result(&mut tx.conn())
        .await
        .optional()
        .or_broken("insert passkey")
}

/// A person's passkeys, the oldest first; the suspended ones too.
pub async fn load_passkeys(tx: &mut Tx, user_id: Uuid) -> Result<Vec<Passkey>, Broken> {
    credentials::table
        .filter(credentials::user_id.eq(user_id))
        .filter(credentials::kind.eq(PASSKEY))
        .filter(credentials::ended_at.is_null())
        .order(credentials::created_at)
        .select(Passkey::as_select())
        .load(&mut tx.conn())
        .await
        .or_broken("load passkeys")
}

/// The passkey with this WebAuthn credential id, and whose it is. Locked: of two uses at once the second sees the counter
/// that the first left. The person first, as by whoever changes what they prove themselves with, or begins privileged work
/// for them: all of these come one after the other, and none waits for another that waits for it.
pub async fn lock_by_handle(tx: &mut Tx, handle: &[u8]) -> Result<Option<(Passkey, User)>, Broken> {
    let of_handle = || {
        credentials::table
            .filter(credentials::handle.eq(handle))
            .filter(credentials::kind.eq(PASSKEY))
            .filter(credentials::ended_at.is_null())
    };
    let user: Option<User> = users::table
        .filter(users::id.eq_any(of_handle().select(credentials::user_id)))
        .select(User::as_select())
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find the person of a passkey")?;
    let Some(user) = user else { return Ok(None) };
    let passkey: Option<Passkey> = of_handle()
        .filter(credentials::user_id.eq(user.id))
        .select(Passkey::as_select())
        .for_update()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find passkey")?;
    Ok(passkey.map(|passkey| (passkey, user)))
}

/// It has just proved something: its new state, and when.
pub async fn note_passkey_use(tx: &mut Tx, id: Uuid, passkey: &Value) -> Result<(), Broken> {
    let now = tx.now;
    diesel::update(credentials::table.find(id))
        .set((credentials::passkey.eq(passkey), credentials::last_used_at.eq(Some(now))))
        .execute(&mut tx.conn())
        .await
        .or_broken("note the use of a passkey")?;
    Ok(())
}

/// Nobody vouches any more for its hardware.
pub async fn end_attestation(tx: &mut Tx, id: Uuid) -> Result<(), Broken> {
    diesel::update(credentials::table.find(id))
        .set(credentials::attested_at.eq(None::<DateTime<Utc>>))
        .execute(&mut tx.conn())
        .await
        .or_broken("end an attestation")?;
    Ok(())
}

/// Takes a credential out of use, which nobody asked for. `false` when it was suspended already.
pub async fn suspend(tx: &mut Tx, id: Uuid, reason: &str) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = diesel::update(credentials::table.find(id).filter(credentials::suspended_at.is_null()))
        .set((credentials::suspended_at.eq(Some(now)), credentials::suspend_reason.eq(reason)))
        .execute(&mut tx.conn())
        .await
        .or_broken("suspend credential")?;
    Ok(changed > 0)
}

/// Gives a person's passkey another name. `false`: they have no such passkey.
pub async fn rename_passkey(tx: &mut Tx, user_id: Uuid, id: Uuid, label: &str) -> Result<bool, Broken> {
    let changed = diesel::update(
        credentials::table
            .find(id)
            .filter(credentials::user_id.eq(user_id))
            .filter(credentials::kind.eq(PASSKEY))
            .filter(credentials::ended_at.is_null()),
    )
    .set(credentials::label.eq(label))
    .execute(&mut tx.conn())
    .await
    .or_broken("rename passkey")?;
    Ok(changed > 0)
}

/// Withdraws a person's passkey. `false`: they have no such passkey.
pub async fn end_passkey(tx: &mut Tx, user_id: Uuid, id: Uuid) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = diesel::update(
        credentials::table
            .find(id)
            .filter(credentials::user_id.eq(user_id))
            .filter(credentials::kind.eq(PASSKEY))
            .filter(credentials::ended_at.is_null()),
    )
    .set(credentials::ended_at.eq(Some(now)))
    .execute(&mut tx.conn())
    .await
    .or_broken("end passkey")?;
    Ok(changed > 0)
}

/// What a person has to prove themselves with: not withdrawn, not used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Factors {
    /// Those that are not suspended.
    #[diesel(sql_type = sql::BigInt)]
    pub passkeys: i64,
    /// There is a passkey that was suspended, and not withdrawn since.
    #[diesel(sql_type = sql::Bool)]
    pub suspended: bool,
    #[diesel(sql_type = sql::Bool)]
    pub password: bool,
    #[diesel(sql_type = sql::Bool)]
    pub totp: bool,
    #[diesel(sql_type = sql::BigInt)]
    pub recovery_codes: i64,
    /// When a passkey was last suspended, whether it was withdrawn since or not.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub suspended_at: Option<DateTime<Utc>>,
}

impl Factors {
    /// In one statement: of what happens at the same time all is seen, or nothing.
    pub async fn load(tx: &mut Tx, user_id: Uuid) -> Result<Self, Broken> {
        Cached(
            diesel::sql_query(
            "SELECT count(*) FILTER (WHERE kind = 'passkey' AND suspended_at IS NULL) AS passkeys, \
             count(*) FILTER (WHERE kind = 'passkey' AND suspended_at IS NOT NULL) > 0 AS suspended, \
             count(*) FILTER (WHERE kind = 'password' AND suspended_at IS NULL) > 0 AS password, \
             count(*) FILTER (WHERE kind = 'totp' AND suspended_at IS NULL) > 0 AS totp, \
             count(*) FILTER (WHERE kind = 'recovery' AND suspended_at IS NULL) AS recovery_codes, \
             (SELECT max(suspended_at) FROM credentials WHERE user_id = $1 AND suspended_at IS NOT NULL) AS suspended_at \
             FROM credentials WHERE user_id = $1 AND ended_at IS NULL",
        )
        .bind::<sql::Uuid, _>(user_id),
    )
    .get_result(&mut tx.conn())
    .await
    .or_broken("find what somebody proves themselves with")
    }
}

/// Whether a proof counts of somebody who had a passkey suspended last at `suspended_at`, withdrawn since or not: what was
/// proved before may have been proved with its copy.
#[must_use]
pub fn counts(proved_at: DateTime<Utc>, suspended_at: Option<DateTime<Utc>>) -> bool {
    suspended_at.is_none_or(|since| proved_at > since)
}

/// Locks a person's row: changes of what they prove themselves with come one after the other.
pub async fn lock_person(tx: &mut Tx, user_id: Uuid) -> Result<(), Broken> {
    let _: Uuid = users::table
        .find(user_id)
        .select(users::id)
        // Not FOR UPDATE: a sign-in holds what it proves, and its session, and refers to the person afterwards.
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_broken("lock a person")?;
    Ok(())
}
