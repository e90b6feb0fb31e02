//! What `doctor` and readiness ask of the database itself.

use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// The server as it presents itself to this connection.
#[derive(Clone, Debug, QueryableByName)]
pub struct Facts {
    /// As in `15.4`.
    #[diesel(sql_type = sql::Text)]
    pub version: String,
    /// As in 150004.
    #[diesel(sql_type = sql::Integer)]
    pub version_number: i32,
    #[diesel(sql_type = sql::Text)]
    pub role: String,
    #[diesel(sql_type = sql::Timestamptz)]
    pub clock: DateTime<Utc>,
}

impl Facts {
    /// As in 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        u32::try_from(self.version_number / 10_000).unwrap_or_default()
    }
}

pub async fn load_facts(tx: &mut Tx) -> Result<Facts, Broken> {
    diesel::sql_query(
        "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS \
         version_number, current_user::text AS role, clock_timestamp() AS clock",
    )
    .get_result(&mut tx.conn())
    .await
    .or_broken("ask the database what it is")
}

/// Whether this role may change or delete audit events.
pub async fn may_change_audit_events(tx: &mut Tx) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Bool)]
        may: bool,
    }
    let row: Row = diesel::sql_query(
        "SELECT has_table_privilege('audit_events', 'UPDATE') OR has_table_privilege('audit_events', 'DELETE') \
         OR has_table_privilege('audit_events', 'TRUNCATE') AS may",
    )
    .get_result(&mut tx.conn())
    .await
    .or_broken("look at the rights on audit events")?;
    Ok(row.may)
}

/// Writes something, and takes it back: what a server does all day. It fails where the database only reads, has no room, or lets
/// this role do less than it needs.
pub async fn try_write(tx: &mut Tx) -> Result<(), Broken> {
    let (key, now) = (tx.new_id(), tx.now);
    for statement in [
        "INSERT INTO throttles (key, level, updated_at) VALUES (uuid_send($1), 0, $2)",
        "DELETE FROM throttles WHERE key = uuid_send($1) AND updated_at = $2",
    ] {
        Cached(diesel::sql_query(statement).bind::<sql::Uuid, _>(key).bind::<sql::Timestamptz, _>(now))
            .execute(&mut tx.conn())
            .await
            .or_broken("write, to see whether that goes")?;
    }
    Ok(())
}
