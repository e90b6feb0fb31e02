//! `nonce` (OIDC Core §3.1.2.1): kept with the family, so not without bounds.

use super::{Asked, AuthorizationRequest, MAX_OPAQUE};
use crate::{failure::Failure, oauth::Error};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let nonce = asked.parameters.get("nonce");
    if nonce.is_some_and(|nonce| nonce.len() > MAX_OPAQUE) {
        return Err(Error::invalid_request(format!("nonce is longer than {MAX_OPAQUE} bytes")).into());
    }
    request.nonce = nonce.map(str::to_owned);
    Ok(())
}
