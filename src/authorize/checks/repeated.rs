//! No parameter more than once (RFC 6749 §3.1), and none too long to be kept.

use super::{Asked, AuthorizationRequest, MAX_OPAQUE};
use crate::{failure::Failure, oauth::Error};

pub fn check(asked: &Asked<'_>, _: &mut AuthorizationRequest) -> Result<(), Failure> {
    asked.parameters.refuse_repeated()?;
    if asked.parameters.get("state").is_some_and(|state| state.len() > MAX_OPAQUE) {
        return Err(Error::invalid_request(format!("state is longer than {MAX_OPAQUE} bytes")).into());
    }
    Ok(())
}
