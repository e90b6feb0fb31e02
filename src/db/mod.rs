//! The only SQL.

pub mod embedded;
