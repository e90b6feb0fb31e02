//! Relying parties: what a client is, how it is registered, how it shows that it is itself.

pub mod authenticate;
mod hub;
pub mod jwks;
mod registration;
mod reserved_names;
pub mod scope;
mod secret;
mod sector;
mod self_registration;

pub use hub::apply_hub;
pub use registration::{Registered, apply_declared, register};
pub use scope::{apply_declared_scopes, withdraw_undeclared};
pub use sector::check_sector;
pub use self_registration::{Information, Registrar, SWEPT_EVERY, expire_unused, read_initial_access_token};

use crate::{
    config::{self, builtin::HUB_CLIENT},
    db::clients::ClientRow,
    failure::Broken,
    jose::Algorithm,
    oauth::{
        ClientMetadata,
        client_metadata::{ApplicationType, Introspection},
        resource_uri::is_same,
    },
};

/// A client as the house uses it: its row, understood.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub metadata: ClientMetadata,
    pub secret_hash: Option<Vec<u8>>,
    pub session_epoch: i32,
    pub is_disabled: bool,
}

impl Client {
    pub fn from_row(row: ClientRow) -> Result<Self, Broken> {
        let metadata = row
            .metadata
            .into_inner()
            .map_err(|error| Broken::new(format_args!("metadata of client {}: {error}", row.client_id)))?;
        Ok(Self {
            id: row.client_id,
            metadata,
            secret_hash: row.secret_hash,
            session_epoch: row.session_epoch,
            is_disabled: row.disabled_at.is_some(),
        })
    }

    /// Whether it is this server's own: the Identity Hub.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.id == HUB_CLIENT
    }

    /// The name to show; the identifier where it has none.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or(&self.id)
    }

    /// What its ID tokens, and its JWT access tokens, are signed with.
    #[must_use]
    pub fn signing_algorithm(&self) -> Algorithm {
        self.metadata.id_token_signed_response_alg.into()
    }

    /// What its authorization answers are signed with, where they are JWTs.
    #[must_use]
    pub fn response_signing_algorithm(&self) -> Algorithm {
        self.metadata.authorization_signed_response_alg.as_str().parse().unwrap_or(Algorithm::Rs256)
    }

    /// Whether it may introspect a token, and report what was done with it: its own, one that is meant for it or for a
    /// resource that names it, or any if it is registered so.
    #[must_use]
    pub fn may_introspect(&self, issued_to: &str, audience: &[String], resources: &[config::Resource]) -> bool {
        let is_meant = |identifier: &str| audience.iter().any(|one| is_same(one, identifier));
        let serves = |resource: &config::Resource| resource.client.as_deref() == Some(self.id.as_str());
        self.metadata.introspection == Introspection::Any
            || self.id == issued_to
            || is_meant(&self.id)
            || resources.iter().any(|resource| serves(resource) && is_meant(&resource.identifier))
    }

    /// Whether another program on a person's machine could pose as this client at this redirect URI (RFC 8252 §8.6).
    #[must_use]
    pub fn is_impersonable(&self, redirect_uri: &str) -> bool {
        self.metadata.application_type == ApplicationType::Native
            && self.metadata.is_public()
            && !redirect_uri.starts_with("https://")
    }
}
