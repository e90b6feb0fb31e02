//! An essential `acr` (OIDC Core §5.5.1.1). `acr_values` is a preference and refuses nothing.

use super::{Asked, AuthorizationRequest};
use crate::failure::Failure;

#[expect(clippy::unnecessary_wraps, reason = "a check of the table")]
pub fn check(_: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    if let Some(acr) = request.claims.id_token.get("acr").filter(|acr| acr.essential) {
        request.essential_acr = acr.wanted_texts().map(str::to_owned).collect();
    }
    Ok(())
}
