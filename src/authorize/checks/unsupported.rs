//! What this server does not take yet is refused by name, never ignored: its sender relies on it.

use super::{Asked, AuthorizationRequest};
use crate::{
    failure::Failure,
    oauth::{Error, ErrorCode},
};

/// OIDC Core §3.1.2.6, §7.2.1.
const UNSUPPORTED: [(&str, ErrorCode, &str); 1] =
    [("registration", ErrorCode::RegistrationNotSupported, "the registration parameter is not supported")];

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    for (name, code, description) in UNSUPPORTED {
        if asked.parameters.get(name).is_some() {
            return Err(Error::new(code, description).into());
        }
    }
    Ok(())
}
