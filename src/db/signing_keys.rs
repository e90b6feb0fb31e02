//! `signing_keys`: sealed private keys and what the JWKS publishes.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, QueryDsl, Queryable, Selectable, SelectableHelper, sql_types as sql,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::{Tx, schema::signing_keys, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A key's row.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = signing_keys)]
pub struct SigningKeyRow {
    pub kid: String,
    pub algorithm: String,
    pub sealed: Vec<u8>,
    pub public_jwk: Value,
    pub created_at: DateTime<Utc>,
    pub signs_from: DateTime<Utc>,
    pub retires_at: Option<DateTime<Utc>>,
    pub withdrawn_at: Option<DateTime<Utc>>,
}

/// Every key there ever was, in the order in which they began to sign.
pub async fn load_all(tx: &mut Tx) -> Result<Vec<SigningKeyRow>, Broken> {
    signing_keys::table
        .order((signing_keys::signs_from, signing_keys::kid))
        .select(SigningKeyRow::as_select())
        .load(&mut tx.conn())
        .await
        .or_broken("load signing keys")
}

/// The keys that have not retired, in the order in which they begin to sign.
pub async fn load_published(tx: &mut Tx) -> Result<Vec<SigningKeyRow>, Broken> {
    let now = tx.now;
    signing_keys::table
        .filter(signing_keys::retires_at.is_null().or(signing_keys::retires_at.gt(now)))
        .order((signing_keys::signs_from, signing_keys::kid))
        .select(SigningKeyRow::as_select())
        .load(&mut tx.conn())
        .await
        .or_broken("load signing keys")
}

/// Serialises those who make keys: two servers starting at once on an empty database make one set.
pub async fn lock(tx: &mut Tx) -> Result<(), Broken> {
    Cached(diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('mooring.signing_keys'))"))
        .execute(&mut tx.conn())
        .await
        .or_broken("lock signing keys")?;
    Ok(())
}

pub async fn insert(
    tx: &mut Tx,
    kid: &str,
    algorithm: &str,
    sealed: &[u8],
    public_jwk: &Value,
    signs_from: DateTime<Utc>,
) -> Result<(), Broken> {
    let now = tx.now;
    diesel::insert_into(signing_keys::table)
        .values((
            signing_keys::kid.eq(kid),
            signing_keys::algorithm.eq(algorithm),
            signing_keys::sealed.eq(sealed),
            signing_keys::public_jwk.eq(public_jwk),
            signing_keys::created_at.eq(now),
            signing_keys::signs_from.eq(signs_from),
        ))
        .execute(&mut tx.conn())
        .await
        .or_broken("insert signing key")?;
    Ok(())
}

/// Lets the older keys of an algorithm leave the JWKS at `retires_at`.
pub async fn retire_others(tx: &mut Tx, algorithm: &str, keep: &str, retires_at: DateTime<Utc>) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(
            "UPDATE signing_keys SET retires_at = $3 WHERE algorithm = $1 AND kid <> $2 AND retires_at IS NULL",
        )
        .bind::<sql::Text, _>(algorithm)
        .bind::<sql::Text, _>(keep)
        .bind::<sql::Timestamptz, _>(retires_at),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("retire signing keys")?;
    Ok(())
}

/// Takes a key out of the JWKS now, and out of everything that verifies. Returns whether it was not withdrawn before.
pub async fn withdraw(tx: &mut Tx, kid: &str) -> Result<bool, Broken> {
    let now = tx.now;
    let changed = diesel::update(signing_keys::table)
        .filter(signing_keys::kid.eq(kid).and(signing_keys::withdrawn_at.is_null()))
        .set((signing_keys::withdrawn_at.eq(now), signing_keys::retires_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("withdraw a signing key")?;
    Ok(changed > 0)
}

/// Lets a key that was to sign later sign from now on.
pub async fn sign_now(tx: &mut Tx, kid: &str) -> Result<(), Broken> {
    let now = tx.now;
    diesel::update(signing_keys::table)
        .filter(signing_keys::kid.eq(kid))
        .set(signing_keys::signs_from.eq(now))
        .execute(&mut tx.conn())
        .await
        .or_broken("let a signing key sign")?;
    Ok(())
}
