//! `claims` (OIDC Core §5.5), kept to what the client is registered for.

use serde_json::Value;

use super::{Asked, AuthorizationRequest};
use crate::{clients::scope::registered, failure::Failure, oauth::ClaimsRequest};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let Some(parameter) = asked.parameters.get("claims") else { return Ok(()) };
    let claims = ClaimsRequest::parse(parameter)?;
    // §5.5.1: a sub with a value is a condition.
    for wanted in [&claims.id_token, &claims.userinfo].into_iter().filter_map(|member| member.get("sub")) {
        if let Some(Value::String(subject)) = &wanted.value {
            request.must_be(subject)?;
        }
    }
    request.claims = claims.restricted_to(&registered(asked.client));
    Ok(())
}
