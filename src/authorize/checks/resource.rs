//! `resource` (RFC 8707 §2.1): what the grant is for, and of the scope only that.

use super::{Asked, AuthorizationRequest};
use crate::{failure::Failure, tokens::Audiences};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let audiences = Audiences { issuer: asked.issuer, resources: asked.resources };
    let named = audiences.named(asked.parameters.all("resource"))?;
    request.scope = match asked.parameters.get("scope") {
        Some(_) => audiences.narrow(&request.scope, &named)?,
        // RFC 6749 §3.3: the default is this server's to choose. Who names an API wants what can be done there.
        None => audiences.default_scope(&request.scope, &named)?,
    };
    request.without_scopes = audiences.without_scopes(named.iter().copied()).into_iter().map(str::to_owned).collect();
    // Without a scope this server's own name says nothing, and so takes no consent that could be withdrawn.
    let says_nothing = request.scope.is_empty() && request.without_scopes.is_empty();
    request.resources = if says_nothing { Vec::new() } else { named.into_iter().map(str::to_owned).collect() };
    Ok(())
}
