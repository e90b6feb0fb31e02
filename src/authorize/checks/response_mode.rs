//! `response_mode` (OAuth 2.0 Multiple Response Type Encoding Practices §2.1, Form Post §2, JARM §2.3).

use super::{Asked, AuthorizationRequest};
use crate::{
    authorize::{Carrier, RESPONSE_MODES, ResponseMode},
    failure::Failure,
    oauth::{Error, Parameters},
};

/// Reads the mode early, so that errors travel the way the relying party listens.
pub fn prefer(parameters: &Parameters, request: &mut AuthorizationRequest) {
    let fragment = ResponseMode { carrier: Carrier::Fragment, is_jwt: false };
    let mode = match parameters.get("response_mode") {
        // Both are refused; but a client that asks for them listens there and nowhere else.
        Some("fragment" | "fragment.jwt") => Some(fragment),
        Some(name) => named(name),
        None => is_front_channel(parameters.get("response_type")).then_some(fragment),
    };
    request.response_mode = mode.unwrap_or_default();
}

/// Response types that would bring a token (Multiple Response Types §5: by default in the fragment). None is supported:
/// OAuth 2.1 §10.1.
fn is_front_channel(response_type: Option<&str>) -> bool {
    response_type.is_some_and(|types| types.split(' ').any(|one| matches!(one, "token" | "id_token")))
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
