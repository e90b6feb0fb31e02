//! `response_mode` (OAuth 2.0 Multiple Response Type Encoding Practices §2.1, Form Post §2, JARM §2.3).

use super::{Asked, AuthorizationRequest};
use crate::{
    authorize::{RESPONSE_MODES, ResponseMode},
    failure::Failure,
    oauth::{Error, Parameters},
};

/// Reads the mode early, so that errors travel the way the relying party listens.
pub fn prefer(parameters: &Parameters, request: &mut AuthorizationRequest) {
    if let Some(mode) = parameters.get("response_mode").and_then(named) {
        request.response_mode = mode;
    }
}

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    match asked.parameters.get("response_mode") {
        Some(other) if named(other).is_none() => {
            let names = RESPONSE_MODES.map(|(name, _)| name).join(", ");
            Err(Error::invalid_request(format!("response_mode must be one of {names}")).into())
        }
        _ => Ok(()),
    }
}

fn named(name: &str) -> Option<ResponseMode> {
    RESPONSE_MODES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
}
