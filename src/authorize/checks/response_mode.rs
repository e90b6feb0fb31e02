//! `response_mode`: query or form_post (OAuth 2.0 Multiple Response Type Encoding Practices §2.1, Form Post §2).

use super::{Asked, AuthorizationRequest};
use crate::{
    authorize::ResponseMode,
    failure::Failure,
    oauth::{Error, Parameters},
};

/// Reads the mode early, so that errors travel the way the relying party listens.
pub fn prefer(parameters: &Parameters, request: &mut AuthorizationRequest) {
    if parameters.get("response_mode") == Some("form_post") {
        request.response_mode = ResponseMode::FormPost;
    }
}

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    match asked.parameters.get("response_mode") {
        None | Some("query" | "form_post") => Ok(()),
        // A fragment would put the code where scripts and histories find it (RFC 9700 §2.1.2).
        Some(_) => Err(Error::invalid_request("response_mode must be query or form_post").into()),
    }
}
