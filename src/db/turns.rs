//! Whose turn it is: what one replica at a time does.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// Takes the turn of a job until the transaction ends. `false`: another replica has it.
pub async fn take(tx: &mut Tx, job: &str) -> Result<bool, Broken> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql::Bool)]
        taken: bool,
    }
    let rows: Vec<Row> = Cached(
        diesel::sql_query("SELECT pg_try_advisory_xact_lock(hashtext('mooring.job.' || $1)) AS taken")
            .bind::<sql::Text, _>(job),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("take the turn of a job")?;
    Ok(rows.into_iter().next().is_some_and(|row| row.taken))
}
