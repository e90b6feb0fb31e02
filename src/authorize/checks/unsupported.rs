//! What this server does not take yet is refused by name, never ignored: its sender relies on it.

use super::{Asked, AuthorizationRequest};
use crate::{
    failure::Failure,
    oauth::{Error, ErrorCode},
};

/// OIDC Core §3.1.2.6, §6, §7.2.1.
const UNSUPPORTED: [(&str, ErrorCode, &str); 3] = [
    ("request", ErrorCode::RequestNotSupported, "request objects are not supported"),
    ("request_uri", ErrorCode::RequestUriNotSupported, "request_uri is not supported"),
    ("registration", ErrorCode::RegistrationNotSupported, "the registration parameter is not supported"),
];

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    for (name, code, description) in UNSUPPORTED {
        if asked.parameters.get(name).is_some() {
            return Err(Error::new(code, description).into());
        }
    }
    Ok(())
}
