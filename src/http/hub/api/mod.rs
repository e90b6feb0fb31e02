//! The admin API, `/hub/api/v1`: one file a resource, and the document that describes it.
//!
//! Whoever calls shows a bearer access token with the scope of the resource, which is privileged: it was stepped up for, it
//! hangs on a privileged session, and it is an administrator's. Resource servers, which only report, authenticate as
//! clients. Every route is described in `openapi.rs`, and a test compares the two.

mod document;
pub mod events;
mod guard;
pub mod sessions;
mod views;

pub use document::openapi;
