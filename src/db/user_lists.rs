//! People as an operator sees them: who they are, what they may, what they sign in with. Nothing secret is among it.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde::Serialize;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A person.
#[derive(Clone, Debug, QueryableByName, Serialize)]
pub struct ListedUser {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub username: String,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub email: Option<String>,
    /// `None`: nobody has said.
    #[diesel(sql_type = sql::Nullable<sql::Bool>)]
    pub email_verified: Option<bool>,
    #[diesel(sql_type = sql::Bool)]
    pub admin: bool,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub groups: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// The configuration declared them.
    #[diesel(sql_type = sql::Bool)]
    pub declared: bool,
}

macro_rules! listed {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, claims->>'name' AS name, claims->>'email' AS email, \
             CASE jsonb_typeof(claims->'email_verified') WHEN 'boolean' THEN (claims->>'email_verified')::boolean END AS email_verified, \
             admin_at IS NOT NULL AS admin, groups, disabled_at, created_at, updated_at, declared_at IS NOT NULL AS declared \
             FROM users WHERE ",
            $rest
        )
    };
}

/// Those after `after`, in the order of their names, at most `limit`.
pub async fn load(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<ListedUser>, Broken> {
    Cached(
        diesel::sql_query(listed!("username_key > $1 ORDER BY username_key LIMIT $2"))
            .bind::<sql::Text, _>(after)
            .bind::<sql::BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("list users")
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<ListedUser>, Broken> {
    let rows: Vec<ListedUser> = Cached(diesel::sql_query(listed!("id = $1")).bind::<sql::Uuid, _>(id))
        .load(&mut tx.conn())
        .await
        .or_broken("find a listed user")?;
    Ok(rows.into_iter().next())
}
