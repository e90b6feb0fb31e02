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
    load_deciding(tx, true, &[], but).await
}

/// As many people are written to at most: where nothing is asked of those who decide, everybody may.
const MOST_ADDRESSEES: i64 = 50;

/// `a` may sign in and decide. `$1` is somebody who is left out, `$2` and `$3` are what is asked of them.
macro_rules! decides {
    () => {
        "a.disabled_at IS NULL AND a.id <> $1 AND (NOT $2 OR a.admin_at IS NOT NULL) AND (cardinality($3) = 0 OR a.groups && $3)"
    };
}

/// Whoever may sign in and decide, but for one person, the longest here first.
pub async fn load_deciding(
    tx: &mut Tx,
    administrators: bool,
    groups: &[String],
    but: Uuid,
) -> Result<Vec<Uuid>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Uuid)]
        id: Uuid,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!("SELECT a.id FROM users a WHERE ", decides!(), " ORDER BY a.id LIMIT $4"))
            .bind::<sql::Uuid, _>(but)
            .bind::<sql::Bool, _>(administrators)
            .bind::<sql::Array<sql::Text>, _>(groups)
            .bind::<sql::BigInt, _>(MOST_ADDRESSEES),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load those who decide")?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Of those who may sign in and decide, but for one person: whether there is one with an address, and one without.
pub async fn find_reach(
    tx: &mut Tx,
    administrators: bool,
    groups: &[String],
    but: Uuid,
) -> Result<(bool, bool), Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Bool)]
        with: bool,
        #[diesel(sql_type = sql::Bool)]
        without: bool,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            "SELECT EXISTS (SELECT FROM users a WHERE ",
            decides!(),
            " AND trim(coalesce(a.claims->>'email', '')) <> '') AS with, EXISTS (SELECT FROM users a WHERE ",
            decides!(),
            " AND trim(coalesce(a.claims->>'email', '')) = '') AS without"
        ))
        .bind::<sql::Uuid, _>(but)
        .bind::<sql::Bool, _>(administrators)
        .bind::<sql::Array<sql::Text>, _>(groups),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find who can be written to")?;
    Ok(rows.into_iter().next().map_or((false, false), |row| (row.with, row.without)))
}

/// How many requests and reviews wait for somebody else than the person who asked.
pub async fn count_waiting(tx: &mut Tx, user_id: Uuid) -> Result<i64, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::BigInt)]
        waiting: i64,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            "SELECT (SELECT count(*) FROM elevation_requests e WHERE e.user_id <> $1 AND ",
            is_open!(),
            " AND e.approver_id IS NULL AND e.break_glass_at IS NULL AND e.expires_at > $2 \
                 AND EXISTS (SELECT FROM live_sessions($2) l WHERE l.id = e.session_id)) \
             + (SELECT count(*) FROM elevation_requests e WHERE e.user_id <> $1 AND e.break_glass_at IS NOT NULL \
                 AND e.reviewed_at IS NULL) AS waiting"
        ))
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count waiting elevation requests")?;
    Ok(rows.into_iter().next().map_or(0, |row| row.waiting))
}
