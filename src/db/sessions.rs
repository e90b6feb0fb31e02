//! `sessions`, `session_activity` and `session_clients`: what every credential hangs on.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::{Tx, authorization_requests::Proved, outer_join::Joined, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A session that nothing has ended, as `live_sessions` gives it.
#[derive(Clone, Debug, QueryableByName)]
pub struct LiveSession {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Text)]
    pub kind: String,
    /// The user or visitor session itself; the parent of a privileged one.
    #[diesel(sql_type = sql::Uuid)]
    pub root_id: Uuid,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub visitor_id: Option<Uuid>,
    #[diesel(sql_type = sql::Nullable<sql::Uuid>)]
    pub user_id: Option<Uuid>,
    #[diesel(sql_type = sql::Integer)]
    pub secret_generation: i32,
    #[diesel(sql_type = sql::Text)]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>)]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub auth_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    /// The person's `session_epoch` that it was begun with: what hangs on it is of the same.
    #[diesel(sql_type = sql::Integer)]
    pub epoch: i32,
    #[diesel(sql_type = sql::Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    pub username: Option<String>,
    #[diesel(sql_type = sql::Nullable<sql::Jsonb>)]
    pub user_claims: Option<Value>,
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
    pub admin_at: Option<DateTime<Utc>>,
    /// The credentials that proved it; `None`: not recorded, or nobody proved anything.
    #[diesel(sql_type = sql::Nullable<sql::Array<sql::Uuid>>)]
    pub proved_with: Option<Vec<Uuid>>,
    /// One of those has died since: `acr` says no more than a password, and `auth_time` satisfies no `max_age`.
    #[diesel(sql_type = sql::Bool)]
    pub has_lost_proof: bool,
    /// How many credentials of the user have died since it began. A grant keeps the number, so that only later ones count
    /// against it.
    #[diesel(sql_type = sql::Integer)]
    pub losses: i32,
}

impl Joined for LiveSession {
    const KEY: &'static str = "id";
}

impl LiveSession {
    /// Whether activity has been noted within the last minute, so that nothing need be written.
    #[must_use]
    pub fn is_noted(&self, now: DateTime<Utc>) -> bool {
        now - self.last_seen_at <= TimeDelta::minutes(1)
    }
}

/// The columns of [`LiveSession`], from `live_sessions(…) s`.
macro_rules! live_session_columns {
    () => {
        "s.id, s.kind, s.root_id, s.visitor_id, s.user_id, s.secret_generation, s.acr, s.amr, s.auth_time, s.expires_at, \
         s.epoch, s.created_at, s.last_seen_at, s.username, s.user_claims, s.admin_at, s.proved_with, \
         s.proof_lost_at IS NOT NULL AS has_lost_proof, cardinality(s.lost_credentials) AS losses"
    };
}

/// A session about to begin.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub kind: &'static str,
    /// Of a privileged session: the user session that it dies with.
    pub parent_id: Option<Uuid>,
    pub visitor_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub client_id: Option<&'a str>,
    pub acr: &'a str,
    pub amr: &'a [&'a str],
    pub auth_time: Option<DateTime<Utc>>,
    /// The user's or client's `session_epoch` as it was read with the credential.
    pub epoch: i32,
    pub idle_timeout: Option<TimeDelta>,
    pub expires_at: DateTime<Utc>,
    /// The credentials whose proof it rests on; empty: nobody proved anything.
    pub proved_with: &'a [Uuid],
}

pub async fn find_live(tx: &mut Tx, id: Uuid) -> Result<Option<LiveSession>, Broken> {
    let now = tx.now;
    let rows: Vec<LiveSession> = Cached(
        diesel::sql_query(concat!("SELECT ", live_session_columns!(), " FROM live_sessions($2) s WHERE s.id = $1"))
            .bind::<sql::Uuid, _>(id)
            .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find live session")?;
    Ok(rows.into_iter().next())
}

/// The live session that a visitor's became by signing in.
pub async fn find_live_successor(tx: &mut Tx, visitor_id: Uuid) -> Result<Option<LiveSession>, Broken> {
    let now = tx.now;
    let rows: Vec<LiveSession> = Cached(
        diesel::sql_query(concat!(
            "SELECT ",
            live_session_columns!(),
            " FROM live_sessions($2) s WHERE s.visitor_id = $1 AND s.kind = 'user' ORDER BY s.created_at DESC LIMIT 1"
        ))
        .bind::<sql::Uuid, _>(visitor_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("find successor session")?;
    Ok(rows.into_iter().next())
}

/// Locks the row against a concurrent end and says whether it is still open; used where something new is hung on it
/// that would not look at it again.
pub async fn lock_open(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let open: Option<Uuid> = sessions::table
        .find(id)
        .filter(sessions::ended_at.is_null())
        .filter(sessions::locked_at.is_null())
        .select(sessions::id)
        .for_share()
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("lock session")?;
    Ok(open.is_some() && find_live(tx, id).await?.is_some())
}

pub async fn insert(tx: &mut Tx, new: &NewSession<'_>) -> Result<Uuid, Broken> {
    let (id, now) = (tx.new_id(), tx.now);
    let trace = tx.trace.clone();
    Cached(
        diesel::sql_query(
            "WITH s AS (INSERT INTO sessions (id, kind, visitor_id, user_id, client_id, acr, amr, auth_time, epoch, \
             idle_timeout, expires_at, created_at, look_at, parent_id, proved_with, lost_credentials) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
             make_interval(secs => $10), $11, $12, least($11, $12 + make_interval(secs => $10)), $17, $18, \
             CASE WHEN $2 = 'offline' THEN coalesce((SELECT lost_credentials FROM sessions WHERE id = $3), '{}') \
                 ELSE '{}' END) RETURNING id) \
             INSERT INTO session_activity (session_id, last_seen_at, source_hash, agent_hash, place, device) \
             SELECT id, $12, $13, $14, $15, $16 FROM s",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Text, _>(new.kind)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.visitor_id)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.user_id)
        .bind::<sql::Nullable<sql::Text>, _>(new.client_id)
        .bind::<sql::Text, _>(new.acr)
        .bind::<sql::Array<sql::Text>, _>(new.amr)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(new.auth_time)
        .bind::<sql::Integer, _>(new.epoch)
        .bind::<sql::Nullable<sql::Double>, _>(new.idle_timeout.map(seconds))
        .bind::<sql::Timestamptz, _>(new.expires_at)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.source_hash)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.agent_hash)
        .bind::<sql::Nullable<sql::Text>, _>(trace.place)
        .bind::<sql::Nullable<sql::Text>, _>(trace.device)
        .bind::<sql::Nullable<sql::Uuid>, _>(new.parent_id)
        .bind::<sql::Nullable<sql::Array<sql::Uuid>>, _>((!new.proved_with.is_empty()).then_some(new.proved_with)),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("insert session")?;
    Ok(id)
}

#[expect(clippy::cast_precision_loss, reason = "timeouts are far below 2^52 ms")]
fn seconds(delta: TimeDelta) -> f64 {
    delta.num_milliseconds() as f64 / 1000.0
}

/// The same person proved who they are again: new secret, new `auth_time`, same session. Returns the new generation;
/// `None` when the session has ended or its generation is not the one named any more.
pub async fn reauthenticate(
    tx: &mut Tx,
    id: Uuid,
    generation: i32,
    proved: &Proved<'_>,
) -> Result<Option<i32>, Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let now = tx.now;
    let amr: Vec<Option<&str>> = proved.amr.iter().copied().map(Some).collect();
    let with: Vec<Option<Uuid>> = proved.with.iter().copied().map(Some).collect();
    diesel::update(
        sessions::table
            .find(id)
            .filter(sessions::ended_at.is_null())
            .filter(sessions::secret_generation.eq(generation)),
    )
    .set((
        sessions::secret_generation.eq(sessions::secret_generation + 1),
        sessions::auth_time.eq(Some(now)),
        sessions::acr.eq(proved.acr),
        sessions::amr.eq(amr),
        sessions::proved_with.eq(Some(with)),
        sessions::proof_lost_at.eq(None::<DateTime<Utc>>),
    ))
    .returning(sessions::secret_generation)
    .get_result(&mut tx.conn())
    .await
    .optional()
    .or_broken("reauthenticate session")
}

/// What this transaction changes of the user's password takes nothing from this session: they have just shown in it who they
/// are (`withdraw_proofs` in the schema).
pub async fn keep_proof(tx: &mut Tx, id: Uuid) -> Result<(), Broken> {
    Cached(diesel::sql_query("SELECT set_config('mooring.kept_session', $1::text, true)").bind::<sql::Uuid, _>(id))
        .execute(&mut tx.conn())
        .await
        .or_broken("keep the proof of a session")?;
    Ok(())
}

/// Whether a credential has died with which the person last proved who they are in this session.
pub async fn has_lost_proof(tx: &mut Tx, id: Uuid) -> Result<bool, Broken> {
    use super::schema::sessions;
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};
    let lost: Option<Uuid> = sessions::table
        .find(id)
        .filter(sessions::proof_lost_at.is_not_null())
        .select(sessions::id)
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("look at the proof of a session")?;
    Ok(lost.is_some())
}

/// Notes activity, at most once a minute: most requests write nothing, and never to the hot row.
pub async fn touch(tx: &mut Tx, id: Uuid) -> Result<(), Broken> {
    let now = tx.now;
    let trace = tx.trace.clone();
    Cached(
        diesel::sql_query(
            "UPDATE session_activity SET last_seen_at = $2, source_hash = coalesce($3, source_hash), \
             agent_hash = coalesce($4, agent_hash), place = coalesce($5, place), device = coalesce($6, device) \
             WHERE session_id = $1 AND last_seen_at < $2 - interval '1 minute'",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.source_hash)
        .bind::<sql::Nullable<sql::Bytea>, _>(trace.agent_hash)
        .bind::<sql::Nullable<sql::Text>, _>(trace.place)
        .bind::<sql::Nullable<sql::Text>, _>(trace.device),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("touch session")?;
    Ok(())
}

/// The session with this id; or what some client knows under this `sid`: the session that it took part in, then the offline
/// sessions that came of that for this client. Ended or not; nothing where there is none.
pub async fn resolve(tx: &mut Tx, id_or_sid: Uuid) -> Result<Vec<Uuid>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Uuid)]
        id: Uuid,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT id FROM (SELECT id, 0 AS place FROM sessions WHERE id = $1 \
             UNION ALL SELECT session_id, 1 FROM session_clients WHERE sid = $1 \
             UNION ALL SELECT o.id, 2 FROM session_clients k JOIN sessions o ON o.visitor_id = k.session_id \
                 AND o.kind = 'offline' AND o.client_id = k.client_id WHERE k.sid = $1) found ORDER BY place, id",
        )
        .bind::<sql::Uuid, _>(id_or_sid),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("resolve session")?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Removes visitor sessions that came to nothing and began a day ago or earlier: dead, nobody signed in, no client took part, so
/// that nothing marks their end (`session_ends::end_dead`). Returns how many, at most `limit`. Those that ended on paper are
/// [`session_removal`](super::session_removal)'s.
pub async fn sweep_visitors(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH forgotten AS (SELECT s.id FROM sessions s WHERE s.look_at = 'infinity' AND s.ended_at IS NULL \
                 AND s.id < uuid_floor($1 - interval '1 day') \
                 AND NOT EXISTS (SELECT FROM session_clients r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM sessions r WHERE r.visitor_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM access_tokens r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM authorization_requests r WHERE r.session_id = s.id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM ceremonies r WHERE r.session_id = s.id OFFSET 0) \
                 ORDER BY s.id LIMIT $2 FOR UPDATE OF s SKIP LOCKED), \
             activity AS (DELETE FROM session_activity WHERE session_id = ANY (ARRAY(SELECT id FROM forgotten))) \
             DELETE FROM sessions WHERE id = ANY (ARRAY(SELECT id FROM forgotten))",
        )
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::BigInt, _>(limit),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("sweep visitor sessions")
}
