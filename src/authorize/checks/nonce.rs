//! `nonce` (OIDC Core §3.1.2.1): kept with the family. It is no longer than a parameter may be.

use super::{Asked, AuthorizationRequest};
use crate::failure::Failure;

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    request.nonce = asked.parameters.get("nonce").map(str::to_owned);
    Ok(())
}
