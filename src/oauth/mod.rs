//! The specifications, pure: parameters, errors, scope, redirect URIs, PKCE, prompt, acr, claims, metadata.
//!
//! Nothing here does I/O or knows what time it is.

mod error;

pub use error::{Error, ErrorCode};
