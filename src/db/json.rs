//! A `jsonb` column read straight into the type that it is the JSON of, without a tree of values between.

use std::fmt;

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::Jsonb,
};
use serde::de::DeserializeOwned;

use crate::failure::Broken;

/// The only version of PostgreSQL's binary `jsonb`: text after one byte that says so.
const VERSION: u8 = 1;

/// What was stored. That it is no `T` is an error for who uses it, not for all who load the rows beside it.
#[derive(Clone, Debug, FromSqlRow)]
pub struct Json<T>(Result<T, String>);

impl<T> Json<T> {
    pub fn get(&self) -> Result<&T, Broken> {
        self.0.as_ref().map_err(Broken::new)
    }

    pub fn into_inner(self) -> Result<T, Broken> {
        self.0.map_err(Broken::new)
    }
}

impl<T: DeserializeOwned + fmt::Debug> FromSql<Jsonb, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes().split_first() {
            Some((&VERSION, text)) => Ok(Self(serde_json::from_slice(text).map_err(|error| error.to_string()))),
            _ => Err("a jsonb value of a version that is not known".into()),
        }
    }
}
