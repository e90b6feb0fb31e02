//! What applying the configuration's declarations needs beside the tables themselves.

use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, QueryDsl};
use diesel_async::RunQueryDsl;

use super::{
    Tx,
    schema::{credentials, users},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// Serialises those who apply: two servers starting at once add everything once.
pub async fn lock(tx: &mut Tx) -> Result<(), Broken> {
    Cached(diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('mooring.declarations'))"))
        .execute(&mut tx.conn())
        .await
        .or_broken("lock declarations")?;
    Ok(())
}

/// The names of those who may sign in with a password that was declared.
pub async fn load_declared_usernames(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    users::table
        .inner_join(credentials::table.on(credentials::user_id.eq(users::id)))
        .filter(credentials::declared.is_not_null().and(credentials::ended_at.is_null()))
        .filter(users::disabled_at.is_null())
        .order(users::username_key)
        .select(users::username)
        .load(&mut tx.conn())
        .await
        .or_broken("load declared users")
}
