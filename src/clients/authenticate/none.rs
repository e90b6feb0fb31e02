//! `none`: a public client only says who it is.

use super::{Credentials, Method, Proof};
use crate::oauth::client_metadata::AuthMethod;

pub(super) const METHOD: Method = Method {
    method: AuthMethod::None,
    read: |request| {
        let client_id = request.parameters.get("client_id");
        Ok(client_id.map(|client_id| Credentials::new(client_id, AuthMethod::None, Proof::None)))
    },
};
