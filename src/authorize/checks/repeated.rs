//! No parameter more than once (RFC 6749 §3.1), and none too long to be kept.

use super::{Asked, AuthorizationRequest};
use crate::failure::Failure;

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    Ok(asked.parameters.refuse_unusable()?)
}
