//! Mooring: an OAuth 2.1 / OpenID Connect authorization server in which every authorization code and every token is
//! bound to a server-side session.
//!
//! Read top to bottom, the modules are the product's sentence: what comes in, what is decided, what it is about, what
//! it stands on. Imports point one way, downwards:
//! `cli, http, jobs` → `authorize, grants` → `clients, sessions, tokens, authentication, elevations, risk, audit, notices` →
//! `engine, db` → `oauth, jose`. `app` (built once, shared), `clock`, `failure` and `config` may be imported by all of
//! the first row; `clock`, `failure`, `config` and `unicode` by everyone.

pub mod app;
pub mod audit;
pub mod authentication;
pub mod authorize;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod config;
pub mod db;
pub mod elevations;
pub mod engine;
pub mod failure;
pub mod grants;
pub mod http;
pub mod jobs;
pub mod jose;
pub mod metrics;
pub mod notices;
pub mod oauth;
pub mod outbound;
pub mod risk;
pub mod sessions;
pub mod tokens;
pub mod unicode;
