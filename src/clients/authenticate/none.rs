//! `none`: a public client only says who it is.

use super::{Credentials, Method, Proof};
use crate::oauth::client_metadata::AuthMethod;

pub(super) const METHOD: Method = Method {
    method: AuthMethod::None,
    read: |request| {
        Ok(request.parameters.get("client_id").map(|client_id| Credentials {
            client_id: client_id.to_owned(),
            method: AuthMethod::None,
            proof: Proof::None,
        }))
    },
};
