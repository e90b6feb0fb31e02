//! The heart: this client may have a code, for this scope, bound to this challenge. Judged by the machine.

use super::{Asked, AuthorizationRequest};
use crate::{
    clients::scope::negotiate,
    engine::authorization::{AuthorizationFacts, authorize},
    failure::Failure,
    oauth::{Error, ErrorCode, pkce::Challenge, scope::GROUPS},
};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let (parameters, client) = (asked.parameters, asked.client);
    // Before anything of the request is looked at more closely: RFC 6749 §4.1.2.1.
    if parameters.get("response_type") == Some("code") && !client.metadata.has_grant("authorization_code") {
        let error = Error::new(ErrorCode::UnauthorizedClient, "this client is not registered for authorization_code");
        return Err(error.mend("add authorization_code to the client's grant_types").into());
    }
    let is_public = client.metadata.is_public();
    let facts = AuthorizationFacts {
        client_id: &client.id,
        redirect_uri: request.redirect_uri.as_str(),
        response_type: parameters.get("response_type"),
        scope: parameters.get("scope"),
        code_challenge: parameters.get("code_challenge"),
        code_challenge_method: parameters.get("code_challenge_method"),
        // OAuth 2.1 §7.5.1; only a confidential client can be registered without.
        is_public,
        pkce_required: is_public || client.metadata.require_pkce,
        negotiated_scope: "",
    };
    authorize(&facts)?;
    request.scope = negotiate(parameters.get("scope"), client, asked.scopes, true)?;
    let asks_for_groups = parameters.get("scope").is_some_and(|scope| scope.split(' ').any(|token| token == GROUPS));
    if asks_for_groups && !request.scope.contains(GROUPS) {
        tracing::debug!(client = %client.id, "groups is not given: add it to the client's scope");
    }
    // The machine leaves the form of the challenge unchecked.
    let challenge = Challenge::parse(parameters.get("code_challenge"), parameters.get("code_challenge_method"))?;
    request.code_challenge = challenge.map(|challenge| challenge.as_str().to_owned());
    Ok(())
}
