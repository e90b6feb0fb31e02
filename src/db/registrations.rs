//! `clients` that registered themselves: their rows are clients like any other, with a generation of their registration
//! access token beside.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, SelectableHelper,
    sql_types::{BigInt, Bool, Bytea, Jsonb, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::{
    Tx,
    clients::{self as rows, ClientRow},
    schema::{clients, registered_clients},
    statement::Cached,
    work::OrBroken,
};
use crate::failure::Broken;

/// A registration that can still be managed.
#[derive(Clone, Debug)]
pub struct Registration {
    pub client: ClientRow,
    pub generation: i32,
    pub created_at: DateTime<Utc>,
}

/// The registration of a client that is not disabled.
pub async fn find(tx: &mut Tx, client_id: &str) -> Result<Option<Registration>, Broken> {
    let found: Option<(ClientRow, Option<i32>, DateTime<Utc>)> = clients::table
        .find(client_id)
        .filter(clients::disabled_at.is_null())
        .select((ClientRow::as_select(), clients::registration_generation, clients::created_at))
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find registration")?;
    Ok(found.and_then(|(client, generation, created_at)| {
        generation.map(|generation| Registration { client, generation, created_at })
    }))
}

/// The client, disabled or not, and whether it registered itself.
pub async fn find_client(tx: &mut Tx, client_id: &str) -> Result<Option<(ClientRow, bool)>, Broken> {
    clients::table
        .find(client_id)
        .select((ClientRow::as_select(), clients::registration_generation.is_not_null()))
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find client")
}

/// Whether the client registered itself.
pub async fn is_registered(tx: &mut Tx, client_id: &str) -> Result<bool, Broken> {
    let found: Option<bool> = clients::table
        .find(client_id)
        .select(clients::registration_generation.is_not_null())
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("look for a registration")?;
    Ok(found.unwrap_or_default())
}

/// The ids of all that registered themselves.
pub async fn load_ids(tx: &mut Tx) -> Result<Vec<String>, Broken> {
    clients::table
        .filter(clients::registration_generation.is_not_null())
        .select(clients::client_id)
        .load(&mut tx.conn())
        .await
        .or_broken("load registrations")
}

/// How many registrations there may be that nobody has used.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub in_all: u32,
    /// From one source: an IPv4 address, or an IPv6 /64.
    pub of_source: u32,
    /// From one IPv6 /48.
    pub of_wide_network: u32,
}

/// Adds a client, unless a limit is reached. Its generation is 0.
pub async fn insert(
    tx: &mut Tx,
    client_id: &str,
    metadata: &Value,
    secret_hash: Option<&[u8]>,
    limits: Limits,
) -> Result<bool, Broken> {
    let now = tx.now;
    let source = tx.trace.source_hash.clone().unwrap_or_default();
    let wide_network = tx.trace.neighbourhoods.last().cloned();
    // Counted as far as it matters and no further.
    let inserted = diesel::sql_query(
        "INSERT INTO clients (client_id, metadata, secret_hash, registration_generation, created_at, updated_at, \
             registered_from, registered_near) SELECT $1, $2, $3, 0, $4, $4, $6, $8 \
         WHERE (SELECT count(*) FROM (SELECT FROM clients WHERE registration_generation IS NOT NULL \
             AND used_at IS NULL LIMIT $5) u) < $5 \
         AND (SELECT count(*) FROM (SELECT FROM clients WHERE registration_generation IS NOT NULL \
             AND used_at IS NULL AND registered_from = $6 LIMIT $7) u) < $7 \
         AND (SELECT count(*) FROM (SELECT FROM clients WHERE registration_generation IS NOT NULL \
             AND used_at IS NULL AND registered_near = $8 LIMIT $9) u) < $9",
    )
    .bind::<Text, _>(client_id)
    .bind::<Jsonb, _>(metadata)
    .bind::<Nullable<Bytea>, _>(secret_hash)
    .bind::<Timestamptz, _>(now)
    .bind::<BigInt, _>(i64::from(limits.in_all))
    .bind::<Bytea, _>(source)
    .bind::<BigInt, _>(i64::from(limits.of_source))
    .bind::<Nullable<Bytea>, _>(wide_network)
    .bind::<BigInt, _>(i64::from(limits.of_wide_network))
    .execute(&mut tx.conn())
    .await
    .or_broken("insert registration")?;
    Ok(inserted > 0)
}

/// How much is stored of clients that registered themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub clients: i64,
    /// What their metadata take as text.
    pub octets: i64,
}

/// What is stored by now, what this unit of work has written included.
pub async fn load_stored(tx: &mut Tx) -> Result<Stored, Broken> {
    let (clients, octets) = registered_clients::table
        .select((registered_clients::clients, registered_clients::octets))
        .first(&mut tx.conn())
        .await
        .or_broken("load what is registered")?;
    Ok(Stored { clients, octets })
}

/// Since when the oldest unused registrations are there: of all, of this source, and of its IPv6 /48. `None`: there is none.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Oldest {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub of_all: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub of_source: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub of_wide_network: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub count_of_source: i64,
    #[diesel(sql_type = BigInt)]
    pub count_of_wide_network: i64,
}

/// What has to expire before this network can register again, without what this unit wrote; only for an answer that refuses.
pub async fn load_oldest(tx: &mut Tx) -> Result<Oldest, Broken> {
    let now = tx.now;
    let source = tx.trace.source_hash.clone().unwrap_or_default();
    let wide_network = tx.trace.neighbourhoods.last().cloned();
    diesel::sql_query(
        "SELECT min(created_at) AS of_all, min(created_at) FILTER (WHERE registered_from = $1) AS of_source, \
             min(created_at) FILTER (WHERE registered_near = $3) AS of_wide_network, \
             count(*) FILTER (WHERE registered_from = $1) AS count_of_source, \
             count(*) FILTER (WHERE registered_near = $3) AS count_of_wide_network \
         FROM clients WHERE registration_generation IS NOT NULL AND used_at IS NULL AND created_at < $2",
    )
    .bind::<Bytea, _>(source)
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Bytea>, _>(wide_network)
    .get_result(&mut tx.conn())
    .await
    .or_broken("look for the oldest registrations")
}

/// Replaces what is registered and makes the next generation; `false`: it is of another generation by now, or gone.
pub async fn replace(
    tx: &mut Tx,
    client_id: &str,
    generation: i32,
    metadata: &Value,
    secret_hash: Option<&[u8]>,
) -> Result<bool, Broken> {
    let is_taken = take(tx, client_id, generation).await?;
    if is_taken {
        rows::update(tx, client_id, metadata, secret_hash).await?;
    }
    Ok(is_taken)
}

/// Ends the client and all it holds, as disabling does; `false`: it is of another generation by now, or gone.
pub async fn end(tx: &mut Tx, client_id: &str, generation: i32) -> Result<bool, Broken> {
    Ok(take(tx, client_id, generation).await? && rows::disable(tx, client_id).await? == Some(true))
}

/// Makes the next generation, which locks the row; `false`: it is of another generation by now, or gone.
async fn take(tx: &mut Tx, client_id: &str, generation: i32) -> Result<bool, Broken> {
    let taken = diesel::update(
        clients::table
            .find(client_id)
            .filter(clients::registration_generation.eq(Some(generation)))
            .filter(clients::disabled_at.is_null()),
    )
    .set(clients::registration_generation.eq(Some(generation + 1)))
    .execute(&mut tx.conn())
    .await
    .or_broken("take registration")?;
    Ok(taken > 0)
}

/// Notes which of those that were never used have taken part in a session by now; from where they were registered is
/// nothing to keep then.
pub async fn mark_used(tx: &mut Tx) -> Result<usize, Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "WITH used AS (SELECT c.client_id FROM clients c WHERE registration_generation IS NOT NULL AND used_at IS NULL \
                 AND EXISTS (SELECT FROM session_clients s WHERE s.client_id = c.client_id OFFSET 0)) \
             UPDATE clients SET used_at = $1, registered_from = NULL, registered_near = NULL \
             WHERE client_id = ANY (ARRAY(SELECT client_id FROM used))",
        )
        .bind::<Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("mark registrations as used")
}

/// A client that was removed; `expired`: not because it had been ended before.
#[derive(Clone, Debug, QueryableByName)]
pub struct Removed {
    #[diesel(sql_type = Text)]
    pub client_id: String,
    #[diesel(sql_type = Bool)]
    pub expired: bool,
}

/// Removes those that nobody ever used: the ended ones, and what was registered before `before`. At most `limit`.
pub async fn sweep(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<Vec<Removed>, Broken> {
    Cached(
        diesel::sql_query(
            "WITH unused AS (SELECT u.client_id FROM clients u WHERE u.registration_generation IS NOT NULL \
                 AND u.used_at IS NULL AND (u.disabled_at IS NOT NULL OR u.created_at < $1) \
                 AND NOT EXISTS (SELECT FROM session_clients r WHERE r.client_id = u.client_id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM sessions r WHERE r.client_id = u.client_id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM consents r WHERE r.client_id = u.client_id OFFSET 0) \
                 AND NOT EXISTS (SELECT FROM authorization_requests r WHERE r.client_id = u.client_id OFFSET 0) \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) \
             DELETE FROM clients WHERE client_id = ANY (ARRAY(SELECT client_id FROM unused)) \
             RETURNING client_id, disabled_at IS NULL AS expired",
        )
        .bind::<Timestamptz, _>(before)
        .bind::<BigInt, _>(limit),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("sweep registrations")
}
