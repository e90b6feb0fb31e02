//! What applying the configuration's declarations needs beside the tables themselves.

use diesel::{ExpressionMethods, QueryDsl, QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{
    Tx,
    schema::{clients, users},
    statement::Cached,
    users::username_key,
    work::OrBroken,
};
use crate::{failure::Broken, unicode::name_key};

/// Serialises those who apply: two servers starting at once add everything once.
pub async fn lock(tx: &mut Tx) -> Result<(), Broken> {
    Cached(diesel::sql_query("SELECT pg_advisory_xact_lock(hashtext('mooring.declarations'))"))
        .execute(&mut tx.conn())
        .await
        .or_broken("lock declarations")?;
    Ok(())
}

/// Marks clients as declared, and returns the others that were declared once and may still do something.
pub async fn mark_clients(tx: &mut Tx, client_ids: &[&str]) -> Result<Vec<String>, Broken> {
    let now = tx.now;
    diesel::update(clients::table)
        .filter(clients::client_id.eq_any(client_ids))
        .filter(clients::declared_at.is_null())
        .set(clients::declared_at.eq(now))
        .execute(&mut tx.conn())
        .await
        .or_broken("mark declared clients")?;
    clients::table
        .filter(clients::declared_at.is_not_null())
        .filter(clients::disabled_at.is_null())
        .filter(clients::client_id.ne_all(client_ids))
        .order(clients::client_id)
        .select(clients::client_id)
        .load(&mut tx.conn())
        .await
        .or_broken("load declared clients")
}

/// Marks people as declared, and returns the others who were declared once and may still sign in.
/// Named in whatever Unicode form.
pub async fn mark_users(tx: &mut Tx, usernames: &[&str]) -> Result<Vec<String>, Broken> {
    let now = tx.now;
    let folded: Vec<String> = usernames.iter().map(|name| name_key(name)).collect();
    let mut username_keys: Vec<String> = usernames.iter().map(|name| username_key(name)).collect();
    username_keys.extend(load_keys_by_folded(tx, &folded).await?);
    let username_keys = username_keys.as_slice();
    diesel::update(users::table)
        .filter(users::username_key.eq_any(username_keys))
        .filter(users::declared_at.is_null())
        .set(users::declared_at.eq(now))
        .execute(&mut tx.conn())
        .await
        .or_broken("mark declared users")?;
    users::table
        .filter(users::declared_at.is_not_null())
        .filter(users::disabled_at.is_null())
        .filter(users::username_key.ne_all(username_keys))
        .order(users::username_key)
        .select(users::username)
        .load(&mut tx.conn())
        .await
        .or_broken("load declared users")
}

/// The `username_key` of everyone whose folded name is one of these.
async fn load_keys_by_folded(tx: &mut Tx, folded: &[String]) -> Result<Vec<String>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Text)]
        username_key: String,
    }
    // Each table by its own index: joined, PostgreSQL would read `user_names` through in the order of the people.
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT username_key FROM users WHERE id = ANY (ARRAY(SELECT user_id FROM user_names WHERE key = ANY ($1)))",
        )
        .bind::<sql::Array<sql::Text>, _>(folded),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find declared users")?;
    Ok(rows.into_iter().map(|row| row.username_key).collect())
}
