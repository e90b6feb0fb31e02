//! `scopes`: which were ever declared. What they demand is the configuration's to say; that they were privileged is
//! remembered here, so that a configuration that leaves one out does not make it an ordinary one.

use diesel::{
    ExpressionMethods, QueryDsl,
    sql_types::{Array, Bool, Text, Timestamptz},
};
use diesel_async::RunQueryDsl;

use super::{Tx, schema::scopes, work::OrBroken};
use crate::failure::Broken;

/// Remembers declared scopes, and of each whether it is privileged: the latest word counts.
pub async fn declare(tx: &mut Tx, declared: &[(&str, bool)]) -> Result<(), Broken> {
    let (names, privileged): (Vec<&str>, Vec<bool>) = declared.iter().copied().unzip();
    diesel::sql_query(
        "INSERT INTO scopes AS s (name, privileged_at, declared_at) \
         SELECT name, CASE WHEN privileged THEN $3 END, $3 FROM unnest($1, $2) AS declared (name, privileged) \
         ON CONFLICT (name) DO UPDATE SET privileged_at = excluded.privileged_at \
         WHERE (s.privileged_at IS NULL) <> (excluded.privileged_at IS NULL)",
    )
    .bind::<Array<Text>, _>(names)
    .bind::<Array<Bool>, _>(privileged)
    .bind::<Timestamptz, _>(tx.now)
    .execute(&mut tx.conn())
    .await
    .or_broken("remember the declared scopes")?;
    Ok(())
}

/// Every scope that was ever declared: its name, and whether it is privileged by the latest word.
pub async fn load_all(tx: &mut Tx) -> Result<Vec<(String, bool)>, Broken> {
    scopes::table
        .order(scopes::name)
        .select((scopes::name, scopes::privileged_at.is_not_null()))
        .load(&mut tx.conn())
        .await
        .or_broken("load scopes")
}
