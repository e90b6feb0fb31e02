//! `clients`: registered relying parties.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, Queryable, QueryableByName, Selectable, SelectableHelper,
    sql_types::{Array, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::{
    Tx,
    json::Json,
    outer_join::Joined,
    schema::clients,
    session_ends::{Of, look_soon},
    statement::Cached,
    work::OrBroken,
};
use crate::{failure::Broken, oauth::ClientMetadata};

/// A client's row. [`crate::clients::Client`] is what the rest of the house uses.
#[derive(Clone, Debug, Queryable, Selectable, QueryableByName)]
#[diesel(table_name = clients)]
pub struct ClientRow {
    #[diesel(sql_type = Text)]
    pub client_id: String,
    #[diesel(sql_type = Jsonb)]
    pub metadata: Json<ClientMetadata>,
    #[diesel(sql_type = Nullable<Bytea>)]
    pub secret_hash: Option<Vec<u8>>,
    #[diesel(sql_type = Integer)]
    pub session_epoch: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Joined for ClientRow {
    const KEY: &'static str = "client_id";
}

/// The client, disabled or not.
pub async fn find(tx: &mut Tx, client_id: &str) -> Result<Option<ClientRow>, Broken> {
    clients::table
        .find(client_id)
        .select(ClientRow::as_select())
        .first(&mut tx.conn())
        .await
        .optional()
        .or_broken("find client")
}

/// What pages show of a client that a person has to do with.
#[derive(Clone, Debug, QueryableByName)]
pub struct Shown {
    #[diesel(sql_type = Text)]
    pub client_id: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub client_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub initiate_login_uri: Option<String>,
}

/// These clients, disabled or not, without the rest of their metadata.
pub async fn load_shown(tx: &mut Tx, client_ids: &[&str]) -> Result<Vec<Shown>, Broken> {
    Cached(
        diesel::sql_query(
            "SELECT client_id, metadata ->> 'client_name' AS client_name, \
             metadata ->> 'initiate_login_uri' AS initiate_login_uri FROM clients WHERE client_id = ANY($1)",
        )
        .bind::<Array<Text>, _>(client_ids),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load clients that are shown")
}

/// Every client, for an operator's list.
pub async fn load_all(tx: &mut Tx) -> Result<Vec<ClientRow>, Broken> {
    clients::table
        .order(clients::created_at)
        .select(ClientRow::as_select())
        .load(&mut tx.conn())
        .await
        .or_broken("load clients")
}

/// Adds a client; `false` when its id is taken.
pub async fn insert(
    tx: &mut Tx,
    client_id: &str,
    metadata: &Value,
    secret_hash: Option<&[u8]>,
) -> Result<bool, Broken> {
    let now = tx.now;
    let inserted = diesel::insert_into(clients::table)
        .values((
            clients::client_id.eq(client_id),
            clients::metadata.eq(metadata),
            clients::secret_hash.eq(secret_hash),
            clients::created_at.eq(now),
            clients::updated_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(&mut tx.conn())
        .await
        .or_broken("insert client")?;
    Ok(inserted > 0)
}

/// Those of these clients that exist, disabled or not, each with the hash of its secret.
pub async fn load_secrets(tx: &mut Tx, client_ids: &[String]) -> Result<Vec<(String, Option<Vec<u8>>)>, Broken> {
    clients::table
        .filter(clients::client_id.eq_any(client_ids))
        .select((clients::client_id, clients::secret_hash))
        .load(&mut tx.conn())
        .await
        .or_broken("load secrets of clients")
}

/// Replaces metadata and secret of a declared client; never enables a disabled one.
pub async fn update(tx: &mut Tx, client_id: &str, metadata: &Value, secret_hash: Option<&[u8]>) -> Result<(), Broken> {
    let now = tx.now;
    diesel::update(clients::table.find(client_id))
        .set((clients::metadata.eq(metadata), clients::secret_hash.eq(secret_hash), clients::updated_at.eq(now)))
        .execute(&mut tx.conn())
        .await
        .or_broken("update client")?;
    Ok(())
}

/// Disables the client and bumps its epoch. `None` if there is none, `Some(false)` if it was disabled already.
pub async fn disable(tx: &mut Tx, client_id: &str) -> Result<Option<bool>, Broken> {
    let now = tx.now;
    let changed = diesel::update(clients::table.find(client_id).filter(clients::disabled_at.is_null()))
        .set((
            clients::disabled_at.eq(Some(now)),
            clients::session_epoch.eq(clients::session_epoch + 1),
            clients::updated_at.eq(now),
        ))
        .execute(&mut tx.conn())
        .await
        .or_broken("disable client")?;
    if changed > 0 {
        look_soon(tx, Of::Client(client_id)).await?;
        return Ok(Some(true));
    }
    Ok(find(tx, client_id).await?.map(|_| false))
}

/// Whether some client that is not disabled has this origin, declared or by a redirect URI.
pub async fn is_origin(tx: &mut Tx, origin: &str) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        known: bool,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "SELECT EXISTS (SELECT FROM clients WHERE client_origins(metadata) @> ARRAY[$1] AND disabled_at IS NULL) AS known",
        )
        .bind::<Text, _>(origin),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("look for an origin")?;
    Ok(rows.into_iter().next().is_some_and(|row| row.known))
}
