//! The admin API, `/hub/api/v1`: one file a resource.

pub mod events;
