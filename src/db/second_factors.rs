//! The code after a password, in `ceremonies`: how often it was guessed at, and whether the person is still who they were
//! when the password fitted.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, SelectableHelper, sql_types as sql};
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

/// A person, and the id and hash of their password; `None`: they have none. Locks the password, as a sign-in without a code
/// does.
pub async fn hold_person(tx: &mut Tx, user_id: Uuid) -> Result<Option<(User, Option<(Uuid, String)>)>, Broken> {
    let user = users::table
        .find(user_id)
        .select(User::as_select())
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find user")?;
    let Some(user) = user else { return Ok(None) };
    let password = credentials::table
        .filter(credentials::user_id.eq(user_id))
        .filter(credentials::kind.eq("password"))
        .filter(credentials::ended_at.is_null())
        .select((credentials::id, credentials::secret_hash))
        .for_no_key_update()
        .first::<(Uuid, Option<String>)>(&mut tx.conn())
        .await
        .optional()
        .or_broken("find password")?;
    Ok(Some((user, password.and_then(|(id, hash)| Some((id, hash?))))))
}

/// A code that is about to be looked at.
#[derive(Debug, QueryableByName)]
pub struct Guess {
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub request_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Jsonb)]
    pub state: Value,
    /// The how manieth it is.
    #[diesel(sql_type = sql::Integer)]
    pub guesses: i32,
}

/// Counts a guess before it is looked at, and holds the ceremony until it was. `None`: it cannot be answered any more.
pub async fn count_guess(tx: &mut Tx, id: Uuid, session_id: Uuid) -> Result<Option<Guess>, Broken> {
    let now = tx.now;
    let rows: Vec<Guess> = Cached(
        diesel::sql_query(
            "UPDATE ceremonies SET state = state || jsonb_build_object('guesses', (state->>'guesses')::int + 1) \
             WHERE id = $1 AND session_id = $2 AND purpose = 'second_factor' AND consumed_at IS NULL AND expires_at > $3 \
             RETURNING request_id, user_id, state, (state->>'guesses')::int AS guesses",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count a guess")?;
    Ok(rows.into_iter().next())
}

/// Uses the ceremony up; `outcome` joins its state: what a second submit of the same form is told.
pub async fn settle(tx: &mut Tx, id: Uuid, outcome: &Value) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query("UPDATE ceremonies SET consumed_at = $2, state = state || $3 WHERE id = $1")
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now)
            .bind::<sql::Jsonb, _>(outcome),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("settle a second factor")?;
    Ok(())
}

/// What became of a ceremony of this session that was used up since `after`.
pub async fn find_settled(
    tx: &mut Tx,
    id: Uuid,
    session_id: Uuid,
    after: DateTime<Utc>,
) -> Result<Option<Guess>, Broken> {
    let rows: Vec<Guess> = Cached(
        diesel::sql_query(
            "SELECT request_id, user_id, state, (state->>'guesses')::int AS guesses FROM ceremonies WHERE id = $1 \
             AND session_id = $2 AND purpose = 'second_factor' AND consumed_at > $3",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Uuid, _>(session_id)
        .bind::<sql::Timestamptz, _>(after),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find what became of a second factor")?;
    Ok(rows.into_iter().next())
}
