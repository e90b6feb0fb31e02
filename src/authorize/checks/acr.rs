//! How strongly the person must be known: what privileged scopes demand, an essential `acr` (OIDC Core §5.5.1.1), and whether an anonymous visitor is enough. `acr_values`, or the client's
//! default for it, is a preference and refuses nothing.

use super::{Asked, AuthorizationRequest};
use crate::{
    authentication::Demand,
    failure::Failure,
    oauth::{Acr, Error, ErrorCode, Prompt},
};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    if let Some(acr) = request.claims.id_token.get("acr").filter(|acr| acr.essential) {
        request.essential_acr = acr.wanted_texts().map(str::to_owned).collect();
        if acr.names_values() && request.essential_acr.is_empty() {
            let description = "the essential acr is asked for with no value that a class could have";
            return Err(Error::new(ErrorCode::UnmetAuthenticationRequirements, description).into());
        }
    }
    // The scope is settled by now: what is not for the resources named has been left out.
    request.demand = Demand::of(&request.scope, asked.scopes);
    request.as_visitor = as_visitor(asked, request);
    request.preferred_acr = Acr::preferences(&wished(asked));
    Ok(())
}

/// `acr_values`, or the client's default for it (OIDC Registration §2).
fn wished(asked: &Asked<'_>) -> String {
    let default = || asked.client.metadata.default_acr_values.join(" ");
    asked.parameters.get("acr_values").map_or_else(default, str::to_owned)
}

/// Whoever asks for somebody to be shown a page, or for an age of the sign-in, asks for a person.
fn as_visitor(asked: &Asked<'_>, request: &AuthorizationRequest) -> bool {
    let metadata = &asked.client.metadata;
    let is_silent = request.prompts.is_empty() || request.prompts.contains(Prompt::None);
    metadata.visitors
        && Acr::asks_for_visitor(Some(&wished(asked)))
        && is_silent
        && request.max_age.is_none()
        && !metadata.require_auth_time
        && (request.essential_acr.is_empty() || request.essential_acr.iter().any(|acr| acr == Acr::Visitor.as_str()))
}
