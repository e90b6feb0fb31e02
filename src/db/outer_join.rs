//! The side of an outer join that may have found nothing, read as an `Option` of the row it would be.
//!
//! Without it every such row would have a twin whose columns are all nullable.

use diesel::{
    QueryableByName,
    deserialize::Result,
    pg::Pg,
    row::{Field, NamedRow, Row},
};

/// A row that can be read from the far side of an outer join.
pub(super) trait Joined: QueryableByName<Pg> {
    /// A column of it that is never null: where it is, nothing was found.
    const KEY: &'static str;
}

/// What was found there; embed it in the row of the whole statement.
#[derive(Clone, Debug)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Joined> QueryableByName<Pg> for Maybe<T> {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> Result<Self> {
        let key = Row::get(row, T::KEY).ok_or_else(|| format!("the statement has no column {}", T::KEY))?;
        if key.is_null() { Ok(Self(None)) } else { T::build(row).map(Some).map(Self) }
    }
}
