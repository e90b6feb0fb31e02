//! `claims` (OIDC Core §5.5), kept to what the client is registered for.

use super::{Asked, AuthorizationRequest};
use crate::{clients::scope::registered, failure::Failure, oauth::ClaimsRequest};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let Some(parameter) = asked.parameters.get("claims") else { return Ok(()) };
    let claims = ClaimsRequest::parse(parameter)?;
    // §5.5.1: a sub with values is a condition, in either member. What is no text is nobody's.
    for wanted in [&claims.id_token, &claims.userinfo].into_iter().filter_map(|member| member.get("sub")) {
        if wanted.names_values() {
            request.narrow(wanted.wanted_texts().map(str::to_owned).collect());
        }
    }
    request.claims = claims.restricted_to(&registered(&asked.client.metadata));
    Ok(())
}
