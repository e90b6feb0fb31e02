//! `resources`: which resource servers (RFC 8707) were ever declared; what they are is the configuration's to say.

use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

use super::{Tx, schema::resources, work::OrBroken};
use crate::failure::Broken;

/// Remembers declared resources.
pub async fn declare(tx: &mut Tx, identifiers: &[&str]) -> Result<(), Broken> {
    let now = tx.now;
    let rows: Vec<_> =
        identifiers.iter().map(|id| (resources::identifier.eq(*id), resources::declared_at.eq(now))).collect();
    diesel::insert_into(resources::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(&mut tx.conn())
        .await
        .or_broken("remember the declared resources")?;
    Ok(())
}

/// Those that are not among these.
pub async fn load_beside(tx: &mut Tx, declared: &[&str]) -> Result<Vec<String>, Broken> {
    resources::table
        .filter(resources::identifier.ne_all(declared))
        .order(resources::identifier)
        .select(resources::identifier)
        .load(&mut tx.conn())
        .await
        .or_broken("load resources")
}
