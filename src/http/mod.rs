//! The web: the only place that names actix-web.
//!
//! It turns requests into the values of the product and its answers into HTTP. It decides nothing about sessions,
//! grants or clients.

mod access;
pub mod assets;
mod bounded;
mod choosing_password;
mod client_call;
mod connections;
mod cors;
mod crowded;
mod csrf;
pub mod demo;
mod endpoints;
pub mod extract;
mod hub;
mod listener;
mod locked;
mod metrics;
mod middleware;
pub mod own_address;
mod pages;
mod passkeys;
mod pending;
pub mod readiness;
mod refusals;
pub mod render;
pub mod resource_server;
mod routes;
mod scope_names;
mod server;
mod signing_in;
mod signing_out;
mod tls;

pub use metrics::MetricsServer;
pub use server::{Server, cannot_listen};
pub use tls::Certificate;
