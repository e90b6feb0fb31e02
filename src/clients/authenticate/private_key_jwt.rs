//! `private_key_jwt`: a signed assertion (RFC 7523 §2.2, OIDC Core §9), good once.

use super::{Credentials, Method, Proof, Request};
use crate::{
    jose::{CLIENT_ASSERTION_TYPE, peek_issuer},
    oauth::{Error, client_metadata::AuthMethod},
};

pub(super) const METHOD: Method = Method { method: AuthMethod::PrivateKeyJwt, read };

fn read(request: &Request<'_>) -> Result<Option<Credentials>, Error> {
    let parameters = request.parameters;
    let (assertion, kind) = (parameters.get("client_assertion"), parameters.get("client_assertion_type"));
    let Some(assertion) = assertion else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Error::invalid_request("client_assertion_type is sent without client_assertion")),
        };
    };
    if kind != Some(CLIENT_ASSERTION_TYPE) {
        return Err(Error::invalid_request(
            "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ));
    }
    let client_id = peek_issuer(assertion)
        .filter(|id| !id.contains(char::is_control))
        .ok_or_else(|| Error::invalid_client("iss and sub of the client assertion must be the client_id"))?;
    // RFC 7523 §3: a client_id beside it must be the same.
    if parameters.get("client_id").is_some_and(|named| named != client_id) {
        return Err(Error::invalid_client("client_id is not the client of the assertion"));
    }
    let proof = Proof::Assertion(assertion.to_owned());
    Ok(Some(Credentials::new(&client_id, AuthMethod::PrivateKeyJwt, proof)))
}
