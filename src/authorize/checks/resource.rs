//! `resource` (RFC 8707 §2.1): what the grant is for, and of the scope only that.

use super::{Asked, AuthorizationRequest};
use crate::{failure::Failure, tokens::Audiences};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let audiences = Audiences { issuer: asked.issuer, resources: asked.resources };
    let named = audiences.named(asked.parameters.all("resource"))?;
    request.scope = audiences.narrow(&request.scope, &named)?;
    request.resources = named.into_iter().map(str::to_owned).collect();
    Ok(())
}
