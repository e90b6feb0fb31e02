//! The specifications, pure: parameters, errors, scope, redirect URIs, PKCE, prompt, acr, claims, metadata.
//!
//! Nothing here does I/O or knows what time it is.

pub mod client_metadata;
mod error;

pub use client_metadata::ClientMetadata;
pub use error::{Error, ErrorCode};
