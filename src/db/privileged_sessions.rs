//! Privileged sessions and `step_ups`: what a person could prove and has proved, and the child sessions that come of it.
//!
//! A privileged session is a row of `sessions` whose parent is the user session of the browser. All of it is looked at
//! only for requests that ask for a stronger proof than a sign-in: an ordinary request pays nothing.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{
    Tx, credentials,
    outer_join::{Joined, Maybe},
    statement::Cached,
    work::OrBroken,
};
use crate::{failure::Broken, oauth::Acr};

/// What there is to know of a person and a client where a request asks for more than a sign-in.
#[derive(Clone, Debug)]
pub struct Privilege {
    /// The client registered itself: it is nobody that an operator has looked at.
    pub is_self_registered: bool,
    /// The strongest class that the person's credentials can reach.
    pub reach: Acr,
    /// Whether a password and a code are among what they can prove.
    pub has_code: bool,
    /// The last proof for this client in the live privileged session of this browser, while what it gave lasts.
    pub step_up: Option<StepUp>,
    /// When a passkey of theirs was last suspended, withdrawn since or not.
    pub suspended_at: Option<DateTime<Utc>>,
    pub who: Who,
}

impl Privilege {
    /// Whether a proof of then counts.
    #[must_use]
    pub fn counts(&self, proved_at: DateTime<Utc>) -> bool {
        credentials::counts(proved_at, self.suspended_at)
    }
}

/// What is asked of people, besides what they can prove.
#[derive(Clone, Debug)]
pub struct Who {
    pub is_administrator: bool,
    pub groups: Vec<String>,
    /// They have signed in in this browser before, by its device cookie: in another session, an hour ago or earlier.
    pub knows_device: bool,
}

/// A proof that stays good for its client while it is fresh.
#[derive(Clone, Debug, QueryableByName)]
pub struct StepUp {
    #[diesel(sql_type = sql::Uuid, column_name = "privileged_session_id")]
    pub session_id: Uuid,
    #[diesel(sql_type = sql::Array<sql::Text>, column_name = "proved_scope")]
    pub scope: Vec<String>,
    #[diesel(sql_type = sql::Text, column_name = "proved_acr")]
    pub acr: String,
    #[diesel(sql_type = sql::Array<sql::Text>, column_name = "proved_amr")]
    pub amr: Vec<String>,
    #[diesel(sql_type = sql::Timestamptz)]
    pub proved_at: DateTime<Utc>,
    /// Until when what was issued for it may be privileged; `None`: as long as the session lives.
    #[diesel(sql_type = sql::Nullable<sql::Timestamptz>, column_name = "proved_until")]
    pub until: Option<DateTime<Utc>>,
}

impl Joined for StepUp {
    const KEY: &'static str = "proved_at";
}

/// The facts for a client and the person of the user session `root_id`, in one statement.
pub async fn find_privilege(tx: &mut Tx, client_id: &str, user_id: Uuid, root_id: Uuid) -> Result<Privilege, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Bool)]
        is_self_registered: bool,
        #[diesel(sql_type = sql::Array<sql::Text>)]
        factors: Vec<String>,
        #[diesel(sql_type = sql::Bool)]
        is_administrator: bool,
        #[diesel(sql_type = sql::Array<sql::Text>)]
        groups: Vec<String>,
        #[diesel(sql_type = sql::Bool)]
        knows_device: bool,
        #[diesel(sql_type = sql::Nullable<sql::Timestamptz>)]
        suspended_at: Option<DateTime<Utc>>,
        #[diesel(embed)]
        step_up: Maybe<StepUp>,
    }
    let now = tx.now;
    let device = tx.trace.device_cookie.clone();
    let row: Option<Row> = Cached(
        diesel::sql_query(
            "SELECT c.registration_generation IS NOT NULL AS is_self_registered, k.factors, w.is_administrator, w.groups, \
             EXISTS (SELECT FROM devices d WHERE d.user_id = $2 AND (d.secret_hash = $5 OR d.previous_hash = $5) \
                 AND d.signed_in_at <= $4 - interval '1 hour' \
                 AND d.signed_in_at < (SELECT created_at FROM sessions WHERE id = $3)) AS knows_device, \
             (SELECT max(suspended_at) FROM credentials WHERE user_id = $2 AND suspended_at IS NOT NULL) AS suspended_at, \
             p.id AS privileged_session_id, u.scope AS proved_scope, u.acr AS proved_acr, \
             u.amr AS proved_amr, u.proved_at, u.until AS proved_until FROM clients c \
             CROSS JOIN LATERAL (SELECT coalesce(array_agg(DISTINCT CASE WHEN attested_at IS NULL THEN kind \
                 ELSE 'hardware' END), '{}') AS factors FROM credentials \
                 WHERE user_id = $2 AND ended_at IS NULL AND suspended_at IS NULL) k \
             JOIN LATERAL (SELECT admin_at IS NOT NULL AS is_administrator, groups FROM users WHERE id = $2 OFFSET 0) w ON true \
             LEFT JOIN LATERAL (SELECT p.id FROM sessions q \
                 JOIN LATERAL (SELECT id FROM live_sessions($4) WHERE id = q.id OFFSET 0) p ON true \
                 WHERE q.parent_id = $3 ORDER BY q.created_at DESC LIMIT 1) p ON true \
             LEFT JOIN LATERAL (SELECT scope, acr, amr, proved_at, until FROM step_ups WHERE session_id = p.id \
                 AND client_id = c.client_id AND coalesce(until > $4, true) OFFSET 0) u ON true WHERE c.client_id = $1",
        )
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Uuid, _>(root_id)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Nullable<sql::Bytea>, _>(device),
    )
    .load::<Row>(&mut tx.conn())
    .await
    .or_broken("find what was proved")?
    .into_iter()
    .next();
    let row = row.ok_or_else(|| Broken::new("the client of a request has no row"))?;
    let has = |factor: &str| row.factors.iter().any(|one| one == factor);
    let reach = match () {
        () if has("hardware") => Acr::Phrh,
        () if has("passkey") => Acr::Phr,
        () if has("totp") => Acr::Mfa,
        () => Acr::Pwd,
    };
    Ok(Privilege {
        is_self_registered: row.is_self_registered,
        reach,
        has_code: has("totp"),
        step_up: row.step_up.0,
        suspended_at: row.suspended_at,
        who: Who { is_administrator: row.is_administrator, groups: row.groups, knows_device: row.knows_device },
    })
}

/// A privileged session of a person that nothing has ended on paper, as the one who is about to begin another sees it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Open {
    #[diesel(sql_type = sql::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql::Uuid)]
    pub parent_id: Uuid,
    #[diesel(sql_type = sql::Timestamptz)]
    pub expires_at: DateTime<Utc>,
    #[diesel(sql_type = sql::Bool)]
    /// Or the user session that it hangs on is.
    pub is_locked: bool,
    #[diesel(sql_type = sql::Nullable<sql::Text>)]
    died: Option<String>,
}

impl Open {
    /// Why it is dead all the same, as the reason of its end; `None`: it lives, or would if nobody had locked it.
    #[must_use]
    pub fn died(&self) -> Option<&'static str> {
        self.died.as_deref().map(|reason| match reason {
            "expired" => "expired",
            "idle" => "idle",
            _ => "ended_with_parent",
        })
    }
}

/// Makes everybody else who is about to begin one for this person wait.
pub async fn lock_person(tx: &mut Tx, user_id: Uuid) -> Result<(), Broken> {
    use super::schema::users;
    use diesel::QueryDsl;
    let _: Uuid = users::table
        .find(user_id)
        .select(users::id)
        // Not the stronger lock of `credentials::lock_person`: a sign-in with a password holds the session, which is locked
        // next here, and then refers to the person.
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_broken("lock person")?;
    Ok(())
}

/// Those that nothing has ended on paper, oldest first; and, until their time is over, those that were locked and ended
/// all the same by something that is the person's to do, or that has another aim: what a watcher stopped is not freed by
/// signing out, nor by what becomes of the person's rights and passkeys.
pub async fn load_open(tx: &mut Tx, user_id: Uuid) -> Result<Vec<Open>, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "SELECT s.id, s.parent_id, s.expires_at, s.locked_at IS NOT NULL OR p.locked_at IS NOT NULL AS is_locked, \
             CASE WHEN s.expires_at <= $2 THEN 'expired' \
                  WHEN s.proof_lost_at IS NOT NULL AND s.locked_at IS NULL AND p.locked_at IS NULL THEN 'credential_removed' \
                  WHEN s.locked_at IS NOT NULL OR p.locked_at IS NOT NULL OR l.id IS NOT NULL THEN NULL \
                  WHEN a.last_seen_at + s.idle_timeout <= $2 THEN 'idle' ELSE 'ended_with_parent' END AS died \
             FROM sessions s \
             JOIN LATERAL (SELECT last_seen_at FROM session_activity WHERE session_id = s.id OFFSET 0) a ON true \
             JOIN LATERAL (SELECT locked_at FROM sessions WHERE id = s.parent_id OFFSET 0) p ON true \
             LEFT JOIN LATERAL (SELECT id FROM live_sessions($2) WHERE id = s.id OFFSET 0) l ON true \
             WHERE s.user_id = $1 AND s.kind = 'privileged' AND (s.ended_at IS NULL OR (s.expires_at > $2 \
                 AND s.end_reason IN ('signed_out', 'ended_by_user', 'ended_with_parent', 'superseded', 'idle', 'rights_lost', \
                 'passkey_suspended', 'credential_removed') \
                 AND (s.locked_at IS NOT NULL OR p.locked_at IS NOT NULL))) ORDER BY s.created_at",
        )
        .bind::<sql::Uuid, _>(user_id)
        .bind::<sql::Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load open privileged sessions")
}

/// The person proved themselves anew: the session goes on to the same end with the new facts.
/// Both rest on the credentials of every proof in it.
pub async fn renew(
    tx: &mut Tx,
    id: Uuid,
    (acr, amr): (&str, &[String]),
    at: DateTime<Utc>,
    with: &[Uuid],
) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH seen AS (UPDATE session_activity SET last_seen_at = $5 WHERE session_id = $1) \
             UPDATE sessions SET acr = $2, amr = $3, auth_time = $4, \
             proved_with = ARRAY(SELECT unnest(proved_with) UNION SELECT unnest($6)) WHERE id = $1",
        )
        .bind::<sql::Uuid, _>(id)
        .bind::<sql::Text, _>(acr)
        .bind::<sql::Array<sql::Text>, _>(amr)
        .bind::<sql::Timestamptz, _>(at)
        .bind::<sql::Timestamptz, _>(now)
        .bind::<sql::Array<sql::Uuid>, _>(with),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("renew privileged session")?;
    Ok(())
}

/// Remembers what was proved for a client.
pub async fn note_step_up(tx: &mut Tx, client_id: &str, step_up: &StepUp) -> Result<(), Broken> {
    Cached(
        diesel::sql_query(
            "INSERT INTO step_ups (session_id, client_id, scope, acr, amr, proved_at, until) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (session_id, client_id) DO UPDATE SET scope = excluded.scope, acr = excluded.acr, \
             amr = excluded.amr, proved_at = excluded.proved_at, until = excluded.until",
        )
        .bind::<sql::Uuid, _>(step_up.session_id)
        .bind::<sql::Text, _>(client_id)
        .bind::<sql::Array<sql::Text>, _>(&step_up.scope)
        .bind::<sql::Text, _>(&step_up.acr)
        .bind::<sql::Array<sql::Text>, _>(&step_up.amr)
        .bind::<sql::Timestamptz, _>(step_up.proved_at)
        .bind::<sql::Nullable<sql::Timestamptz>, _>(step_up.until),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("note a step-up")?;
    Ok(())
}
