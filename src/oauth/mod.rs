//! The specifications, pure: parameters, errors, scope, redirect URIs, PKCE, prompt, acr, claims, metadata.
//!
//! Nothing here does I/O or knows what time it is.

pub mod acr;
pub mod claims;
pub mod client_metadata;
mod error;
#[cfg(test)]
pub mod hostile;
pub mod metadata;
pub mod parameters;
pub mod pkce;
pub mod prompt;
pub mod redirect_uri;
pub mod resource_uri;
pub mod scope;

pub use acr::Acr;
pub use claims::{ClaimRequest, ClaimsRequest};
pub use client_metadata::ClientMetadata;
pub use error::{Error, ErrorCode};
pub use parameters::Parameters;
pub use prompt::{Prompt, Prompts};
pub use redirect_uri::TrustedRedirectUri;
pub use scope::Scope;
