//! Hand-written statements that are prepared once a connection.
//!
//! The look-ups on the hot paths join what the query builder cannot express well, and fold a change with its audit
//! event into one statement. `diesel::sql_query` takes them, but never caches what it prepared, which doubles the
//! round trips. Their text is constant, so caching by text is right.

use diesel::{
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::Untyped,
};

/// A `sql_query` with all its binds, whose prepared form is kept by the connection.
pub(super) struct Cached<Q>(pub(super) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q> QueryId for Cached<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> Query for Cached<Q> {
    type SqlType = Untyped;
}
