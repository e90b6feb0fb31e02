//! `consents`: what a person allowed a client, so that they are asked once.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Adds `scope` to what the person allowed the client.
pub async fn grant(tx: &mut Tx, user_id: Uuid, client_id: &str, scope: &[&str]) -> Result<(), Broken> {
    let now = tx.now;
    Cached(
        diesel::sql_query(
            "INSERT INTO consents AS k (user_id, client_id, scope, granted_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (user_id, client_id) DO UPDATE SET granted_at = $4, withdrawn_at = NULL, scope = \
             CASE WHEN k.withdrawn_at IS NULL THEN (SELECT array_agg(DISTINCT s ORDER BY s) FROM unnest(k.scope || $3) s) \
             ELSE $3 END",
        )
        .bind::<diesel::sql_types::Uuid, _>(user_id)
        .bind::<Text, _>(client_id)
        .bind::<Array<Text>, _>(scope)
        .bind::<Timestamptz, _>(now),
    )
    .execute(&mut tx.conn())
    .await
    .or_broken("remember consent")?;
    Ok(())
}

/// Takes consent back and ends what the client holds for the person: the families on their open sessions, for those on ended
/// ones are dead. A code that is being issued meanwhile is redeemed by nobody: its look-up asks for the consent. Returns how many
/// families that ended; `None` when nothing was allowed.
pub async fn withdraw(tx: &mut Tx, user_id: Uuid, client_id: &str) -> Result<Option<i64>, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        ended: i64,
    }
    let now = tx.now;
    let rows: Vec<Row> = Cached(
        diesel::sql_query(
            "WITH k AS (UPDATE consents SET withdrawn_at = $3 WHERE user_id = $1 AND client_id = $2 \
                 AND withdrawn_at IS NULL RETURNING user_id), \
             theirs AS (SELECT g.id FROM k JOIN LATERAL (SELECT id FROM sessions WHERE user_id = k.user_id \
                 AND ended_at IS NULL OFFSET 0) s ON true JOIN LATERAL (SELECT id FROM grants WHERE session_id = s.id \
                 AND client_id = $2 UNION ALL SELECT id FROM grants WHERE offline_session_id = s.id AND client_id = $2 \
                 OFFSET 0) g ON true), \
             ended AS (UPDATE grants SET ended_at = $3, end_reason = 'consent_withdrawn' \
                 WHERE id = ANY (ARRAY(SELECT id FROM theirs)) AND ended_at IS NULL RETURNING id) \
             SELECT (SELECT count(*) FROM ended) AS ended FROM k",
        )
        .bind::<diesel::sql_types::Uuid, _>(user_id)
        .bind::<Text, _>(client_id)
        .bind::<Timestamptz, _>(now),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("withdraw consent")?;
    Ok(rows.into_iter().next().map(|row| row.ended))
}

/// A consent as the account page shows it.
#[derive(Debug, QueryableByName)]
pub struct ConsentRow {
    #[diesel(sql_type = Text)]
    pub client_id: String,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub client_name: Option<serde_json::Value>,
    #[diesel(sql_type = Array<Text>)]
    pub scope: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    pub granted_at: DateTime<Utc>,
}

pub async fn load_of_user(tx: &mut Tx, user_id: Uuid) -> Result<Vec<ConsentRow>, Broken> {
    Cached(
        diesel::sql_query(
            "SELECT k.client_id, (SELECT c.metadata->'client_name' FROM clients c WHERE c.client_id = k.client_id) \
             AS client_name, k.scope, k.granted_at FROM consents k WHERE k.user_id = $1 AND k.withdrawn_at IS NULL \
             ORDER BY k.granted_at DESC",
        )
        .bind::<diesel::sql_types::Uuid, _>(user_id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load consents")
}
