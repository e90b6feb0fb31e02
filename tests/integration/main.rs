//! Everything that is told over public HTTP, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod architecture;
mod authorization_code;
mod authorize;
mod client_authentication;
mod client_credentials;
mod contracts;
mod demo;
mod endings;
mod interleavings;
mod invariants;
mod main_job;
mod refresh_token;
mod statements;
mod support;
mod token_endpoint;
