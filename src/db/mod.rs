//! The only SQL.
//!
//! One file a table, each with the few statements that the house needs of it, and the pool, the unit of work and the
//! embedded cluster beside them. Functions take [`Tx`] first: one connection, one instant, and the audit events that are
//! written with the change. What is *live* is defined once, by the functions `live_sessions`, `live_grants` and
//! `live_access_tokens` of the schema.

pub mod access_tokens;
pub mod audit_events;
pub mod audit_removal;
pub mod authorization_codes;
pub mod authorization_requests;
mod batch;
mod cancel;
pub mod ceremonies;
pub mod clients;
mod connection;
pub mod consents;
pub mod counts;
pub mod credentials;
pub mod declarations;
pub mod devices;
pub mod elevation_approvals;
pub mod elevation_lists;
pub mod elevation_requests;
pub mod embedded;
pub mod grants;
pub mod health;
pub mod ids;
pub mod json;
mod large_indexes;
pub mod mails;
pub mod migrations;
pub mod notices;
mod outer_join;
pub mod partitions;
pub mod password_resets;
mod pool;
pub mod privileged_sessions;
pub mod recovery_codes;
pub mod registrations;
pub mod reports;
pub mod reset_requests;
pub mod resources;
mod rights;
#[allow(clippy::doc_markdown, reason = "generated from the schema's comments")]
mod schema;
pub mod scopes;
pub mod second_factors;
pub mod service_sessions;
pub mod session_clients;
pub mod session_ends;
pub mod session_lists;
pub mod session_locks;
pub mod session_removal;
mod session_settings;
pub mod sessions;
pub mod set_up_links;
pub mod signing_keys;
mod socket;
mod sqlstate;
mod statement;
mod target;
pub mod throttles;
pub mod totp;
pub mod turns;
pub mod used_jtis;
pub mod user_lists;
pub mod user_names;
pub mod users;
mod work;
pub mod work_reports;

pub use pool::Database;
pub use target::place;
pub use work::{Cause, Outcome, Trace, Tx};
