//! `client_secret_post`: id and secret in the body (RFC 6749 §2.3.1).

use super::{Credentials, Method, Proof};
use crate::oauth::{Error, client_metadata::AuthMethod};

pub(super) const METHOD: Method = Method {
    method: AuthMethod::ClientSecretPost,
    read: |request| {
        let Some(secret) = request.parameters.get("client_secret") else { return Ok(None) };
        let client_id = request
            .parameters
            .get("client_id")
            .ok_or_else(|| Error::invalid_request("client_secret is sent without client_id"))?;
        let proof = Proof::Secret(vec![secret.to_owned()]);
        Ok(Some(Credentials::new(client_id, AuthMethod::ClientSecretPost, proof)))
    },
};
