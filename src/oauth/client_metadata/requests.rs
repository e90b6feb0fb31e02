//! How a client may ask: its request objects (RFC 9101 §10.5, OIDC Registration §2).

use super::{
    ClientMetadata, Fault,
    rules::{absolute_or_web, secure, shortened},
};

/// What request objects may be signed with (RFC 9101 §6.2). Symmetric algorithms are absent on purpose: a shared secret
/// is stored hashed here and could not verify anything. `none` is a matter of policy.
pub const REQUEST_OBJECT_ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// More places for request objects than any client needs.
const MAX_REQUEST_URIS: usize = 20;

pub(super) fn check(client: &ClientMetadata) -> Result<(), Fault> {
    if let Some(algorithm) = &client.request_object_signing_alg {
        if algorithm != "none" && !REQUEST_OBJECT_ALGORITHMS.contains(&algorithm.as_str()) {
            let problem = format!("{algorithm} is not one of {}", REQUEST_OBJECT_ALGORITHMS.join(", "));
            return Err(Fault::new("request_object_signing_alg", problem));
        }
        // RFC 9101 §10.5.
        if algorithm == "none" && client.require_signed_request_object {
            return Err(Fault::new("request_object_signing_alg", "none contradicts require_signed_request_object"));
        }
    }
    if client.request_uris.len() > MAX_REQUEST_URIS {
        return Err(Fault::new("request_uris", format!("names more than {MAX_REQUEST_URIS} places")));
    }
    for uri in &client.request_uris {
        // OIDC Registration §2: a fragment tells one version of the contents from another.
        secure(uri.split_once('#').map_or(uri.as_str(), |(place, _)| place))
            .and_then(|()| absolute_or_web(uri).map(drop))
            .map_err(|problem| Fault::new("request_uris", format!("{}: {problem}", shortened(uri))))?;
    }
    Ok(())
}
