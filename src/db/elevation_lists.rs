//! Requests for a second person's approval as those who decide see them. Not for deciding whether one stands.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx,
    elevation_requests::{Elevation, elevation_columns, is_open},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// One request, with the names that people know.
#[derive(Clone, Debug, QueryableByName)]
pub struct ListedElevation {
    #[diesel(embed)]
    pub elevation: Elevation,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub name: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub client_name: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub device: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub place: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub reviewer: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub review_note: Option<String>,
}

/// Which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// They wait for a decision, oldest first.
    Waiting,
    /// Somebody went on alone, and nobody has reviewed it, oldest first.
    ToReview,
    /// Something has become of them, latest first.
    Settled,
}

macro_rules! listed {
    ($condition:expr) => {
        concat!(
            "SELECT ",
            elevation_columns!(),
            ", u.claims ->> 'name' AS name, c.metadata ->> 'client_name' AS client_name, t.device, t.place, \
             v.username AS reviewer, e.review_note FROM elevation_requests e \
             JOIN users u ON u.id = e.user_id JOIN clients c ON c.client_id = e.client_id \
             LEFT JOIN session_activity t ON t.session_id = e.session_id \
             LEFT JOIN users v ON v.id = e.reviewer_id WHERE ",
            $condition
        )
    };
}

pub async fn load(tx: &mut Tx, which: Which, limit: i64) -> Result<Vec<ListedElevation>, Broken> {
    let now = tx.now;
    let statement = match which {
        Which::Waiting => listed!(concat!(
            is_open!(),
            " AND e.approver_id IS NULL AND e.break_glass_at IS NULL AND e.expires_at > $1 \
             AND EXISTS (SELECT FROM live_sessions($1) l WHERE l.id = e.session_id) ORDER BY e.id LIMIT $2"
        )),
        Which::ToReview => {
            listed!(
                "e.break_glass_at IS NOT NULL AND e.reviewed_at IS NULL AND $1 > '-infinity' ORDER BY e.id LIMIT $2"
            )
        }
        Which::Settled => listed!(
            "(e.approver_id IS NOT NULL OR e.voided_at IS NOT NULL OR e.reviewed_at IS NOT NULL OR e.expires_at <= $1) \
             AND (e.break_glass_at IS NULL OR e.reviewed_at IS NOT NULL) ORDER BY e.id DESC LIMIT $2"
        ),
    };
    Cached(diesel::sql_query(statement).bind::<sql::Timestamptz, _>(now).bind::<sql::BigInt, _>(limit))
        .load(&mut tx.conn())
        .await
        .or_broken("list elevation requests")
}

/// Everybody who is to know that somebody went on alone: the administrators that may sign in, but for that person.
pub async fn load_administrators(tx: &mut Tx, but: Uuid) -> Result<Vec<Uuid>, Broken> {
    use super::schema::users;
    use diesel::{ExpressionMethods, QueryDsl};
    users::table
        .filter(users::admin_at.is_not_null())
        .filter(users::disabled_at.is_null())
        .filter(users::id.ne(but))
        .select(users::id)
        .load(&mut tx.conn())
        .await
        .or_broken("load administrators")
}
