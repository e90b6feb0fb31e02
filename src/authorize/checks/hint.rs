//! `id_token_hint` (OIDC Core §3.1.2.1): one of our ID tokens, expired or not, for this client.

use super::{Asked, AuthorizationRequest};
use crate::{failure::Failure, jose::verify_own, oauth::Error};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let Some(hint) = asked.parameters.get("id_token_hint") else { return Ok(()) };
    let invalid = || Error::invalid_request("id_token_hint is not an ID token of this server for this client");
    let claims = verify_own(hint, asked.own_jwks, Some("JWT")).ok_or_else(invalid)?;
    let ours = claims.get("iss").and_then(|iss| iss.as_str()) == Some(asked.issuer);
    let theirs = claims.get("aud").and_then(|aud| aud.as_str()) == Some(&asked.client.id);
    if !(ours && theirs) {
        return Err(invalid().into());
    }
    // Only an ID token says under which sid: other JWTs of ours are no hints.
    let subject = claims.get("sub").filter(|_| claims.contains_key("sid")).and_then(|sub| sub.as_str());
    request.narrow(vec![subject.ok_or_else(invalid)?.to_owned()]);
    Ok(())
}
