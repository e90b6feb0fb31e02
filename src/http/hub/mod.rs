//! The Identity Hub: the admin API, for whoever watches and acts.

pub mod api;
