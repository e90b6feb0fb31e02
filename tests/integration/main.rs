//! Everything that is told over public HTTP, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod account;
mod architecture;
mod attacks;
mod authorization_code;
mod authorize;
mod client_authentication;
mod client_credentials;
mod contracts;
mod cors;
mod database_over_tls;
mod demo;
mod endings;
mod in_a_browser;
mod interleavings;
mod introspection;
mod invariants;
mod jwks_uri;
mod keys;
mod logout;
mod main_job;
mod metrics;
mod overrides;
mod pages;
mod processes;
mod refresh_token;
mod retention;
mod revocation;
mod set_up;
mod sign_in;
mod statements;
mod support;
mod tls;
mod token_endpoint;
mod under_a_path;
mod userinfo;
