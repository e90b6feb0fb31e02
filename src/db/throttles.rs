//! `throttles`: leaky buckets, so that guessing is slow on every replica at once.
//!
//! A bucket is stored as the instant at which it is empty again; what it holds is the time until then. An attempt that is
//! refused stores nothing, and a bucket that is empty is no row: the table grows with the attempts that were admitted lately.
//! A full bucket refuses the attempt, or yields: the attempt is counted in the others, in the same statement.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A bucket, and what is put into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub key: Vec<u8>,
    /// How many seconds it takes until what is put in has leaked.
    pub step: f64,
    /// How many seconds' worth it holds.
    pub room: f64,
    /// When it is full, the attempt is counted without it.
    pub yields: bool,
}

/// What came of counting.
#[derive(Clone, Debug, PartialEq)]
pub enum Counted {
    /// How many seconds' worth each bucket holds now, by its key. A bucket that yielded is not among them.
    Within(Vec<(Vec<u8>, f64)>),
    /// Not before so many seconds; nothing is counted.
    Over(f64),
}

/// What rounding may make of an exact sum, in seconds.
const ROUNDING: f64 = 0.001;

/// The buckets that are asked about, and how many seconds' worth each holds.
macro_rules! held {
    () => {
        "WITH asked AS (SELECT a.key, a.step, a.room, a.yields, \
             greatest(0, extract(epoch FROM t.empty_at - $5)::float8, 0) AS held \
             FROM unnest($1::bytea[], $2::float8[], $3::float8[], $4::boolean[]) AS a (key, step, room, yields) \
             LEFT JOIN LATERAL (SELECT empty_at FROM throttles WHERE key = a.key OFFSET 0) t ON true)"
    };
}

/// How many seconds it takes until there is room in each of the buckets that refuse; 0: there is. Counts nothing.
pub async fn wait(tx: &mut Tx, buckets: &[Bucket]) -> Result<f64, Broken> {
    #[derive(QueryableByName)]
    struct Wait {
        #[diesel(sql_type = sql::Double)]
        wait: f64,
    }
    let (keys, steps, rooms, yields) = columns(buckets);
    let now = tx.now;
    let rows: Vec<Wait> = Cached(
        diesel::sql_query(concat!(
            held!(),
            " SELECT greatest(0, max(held + step - room) FILTER (WHERE NOT yields))::float8 AS wait FROM asked"
        ))
        .bind::<sql::Array<sql::Bytea>, _>(keys)
        .bind::<sql::Array<sql::Double>, _>(steps)
        .bind::<sql::Array<sql::Double>, _>(rooms)
        .bind::<sql::Array<sql::Bool>, _>(yields)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("look at throttles")?;
    Ok(rows.into_iter().next().map_or(0.0, |row| row.wait))
}

/// Puts into each bucket what it is asked to, if there is room in all of them that refuse: counting before the work is done is
/// what holds against attempts made at once.
///
/// Rows are locked in the order of their keys, here and in [`take_out`], so that attempts made at once never wait for one
/// another in a circle.
pub async fn put_in(tx: &mut Tx, buckets: &[Bucket]) -> Result<Counted, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Double)]
        wait: f64,
        #[diesel(sql_type = sql::Nullable<sql::Double>)]
        held: Option<f64>,
    }
    let (keys, steps, rooms, yields) = columns(buckets);
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(concat!(
            held!(),
            ", counted AS (INSERT INTO throttles AS t (key, empty_at) SELECT key, $5 + make_interval(secs => step) FROM asked \
                 WHERE held + step - room <= $6 AND NOT EXISTS (SELECT FROM asked WHERE held + step - room > $6 AND NOT yields) \
                 ORDER BY key \
                 ON CONFLICT (key) DO UPDATE SET empty_at = greatest(t.empty_at, $5) + (excluded.empty_at - $5) \
                 RETURNING key, extract(epoch FROM empty_at - $5)::float8 AS held) \
             SELECT asked.held + asked.step - asked.room AS wait, counted.held FROM asked LEFT JOIN counted USING (key) \
             ORDER BY key"
        ))
        .bind::<sql::Array<sql::Bytea>, _>(keys)
        .bind::<sql::Array<sql::Double>, _>(steps)
        .bind::<sql::Array<sql::Double>, _>(rooms)
        .bind::<sql::Array<sql::Bool>, _>(yields)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Double, _>(ROUNDING),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("count in throttles")?;
    let asked: Vec<(&Bucket, Row)> = sorted(buckets).into_iter().zip(rows).collect();
    if asked.iter().any(|(bucket, row)| row.held.is_none() && !bucket.yields) {
        let waits = asked.iter().filter(|(bucket, _)| !bucket.yields).map(|(_, row)| row.wait);
        return Ok(Counted::Over(waits.fold(0.0, f64::max)));
    }
    // Others were counted meanwhile, and this one is too many.
    let counted: Vec<(&Bucket, f64)> = asked.iter().filter_map(|(bucket, row)| Some((*bucket, row.held?))).collect();
    let excess = |(bucket, held): &(&Bucket, f64)| held - bucket.room;
    let over = counted.iter().filter(|(bucket, _)| !bucket.yields).map(excess).fold(0.0, f64::max);
    if over > ROUNDING {
        let counted: Vec<Bucket> = counted.into_iter().map(|(bucket, _)| bucket.clone()).collect();
        take_out(tx, &counted).await?;
        return Ok(Counted::Over(over));
    }
    let (late, counted): (Vec<_>, Vec<_>) = counted.into_iter().partition(|it| excess(it) > ROUNDING);
    if !late.is_empty() {
        let late: Vec<Bucket> = late.into_iter().map(|(bucket, _)| bucket.clone()).collect();
        take_out(tx, &late).await?;
    }
    Ok(Counted::Within(counted.into_iter().map(|(bucket, held)| (bucket.key.clone(), held)).collect()))
}

/// Takes out of each bucket again what was put in, or all there is where that is less.
pub async fn take_out(tx: &mut Tx, buckets: &[Bucket]) -> Result<(), Broken> {
    let (keys, steps, ..) = columns(buckets);
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH k AS (SELECT key FROM throttles WHERE key = ANY ($1) ORDER BY key FOR UPDATE) \
             UPDATE throttles t SET empty_at = greatest($3, t.empty_at - make_interval(secs => a.step)) \
             FROM k JOIN unnest($1::bytea[], $2::float8[]) AS a (key, step) ON a.key = k.key \
             WHERE t.key = ANY (ARRAY(SELECT key FROM k)) AND t.key = k.key",
        )
        .bind::<sql::Array<sql::Bytea>, _>(keys)
        .bind::<sql::Array<sql::Double>, _>(steps)
        .bind::<sql::Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("take out of throttles")?;
    Ok(())
}

/// More than this many stand for more guesses than a server checks in the time in which they leak.
const MOST: i64 = 1_000_000;
/// Keys are hashes, so those that begin with a zero octet stand for all: they are one in so many.
const SHARE: i64 = 256;
/// How long a bucket has been empty before it goes: another replica's clock may be behind.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// Removes buckets that are empty; how many, at most `limit`.
pub async fn sweep(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let until = tx.now - MARGIN;
    remove(tx, until, limit).await
}

/// Removes the buckets that hold least, where there are more than a table should have; how many, at most `limit`.
pub async fn sweep_excess(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    match find_excess(tx, MOST / SHARE).await? {
        Some(until) => remove(tx, until, limit).await,
        None => Ok(0),
    }
}

async fn remove(tx: &mut Tx, until: DateTime<Utc>, limit: i64) -> Result<usize, Broken> {
    Cached(
        diesel::sql_query(
            "DELETE FROM throttles WHERE key = ANY (ARRAY(SELECT key FROM throttles WHERE empty_at <= $1 ORDER BY empty_at \
             LIMIT $2 FOR UPDATE SKIP LOCKED))",
        )
        .bind::<sql::Timestamptz, _>(until)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep throttles")
}

/// Until when the buckets are empty that are more than `most` of a [`SHARE`], those that hold least first; `None`: there are not
/// so many. Reads twice `most` and no more, however many there are.
async fn find_excess(tx: &mut Tx, most: i64) -> Result<Option<DateTime<Utc>>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Timestamptz)]
        empty_at: DateTime<Utc>,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT empty_at FROM (SELECT empty_at FROM throttles WHERE key < decode('01', 'hex') LIMIT 2 * $1) share \
             ORDER BY empty_at DESC OFFSET $1 LIMIT 1",
        )
        .bind::<sql::BigInt, _>(most),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("estimate throttles")?;
    Ok(rows.into_iter().next().map(|row| row.empty_at))
}

fn sorted(buckets: &[Bucket]) -> Vec<&Bucket> {
    let mut sorted: Vec<&Bucket> = buckets.iter().collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    sorted
}

type Columns<'a> = (Vec<&'a [u8]>, Vec<f64>, Vec<f64>, Vec<bool>);

/// Key, step and room of each, and whether it yields, in the order of the keys.
fn columns(buckets: &[Bucket]) -> Columns<'_> {
    let sorted = sorted(buckets);
    (
        sorted.iter().map(|bucket| bucket.key.as_slice()).collect(),
        sorted.iter().map(|bucket| bucket.step).collect(),
        sorted.iter().map(|bucket| bucket.room).collect(),
        sorted.iter().map(|bucket| bucket.yields).collect(),
    )
}
