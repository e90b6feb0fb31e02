//! How a client may ask: its request objects (RFC 9101 §10.5, OIDC Registration §2).

use super::{
    ClientMetadata, Fault,
    rules::{CLIENT_SIGNATURES, absolute_or_web, secure, shortened},
};

/// More places for request objects than any client needs.
const MAX_REQUEST_URIS: usize = 20;

pub(super) fn check(client: &ClientMetadata) -> Result<(), Fault> {
    if let Some(algorithm) = &client.request_object_signing_alg {
        if algorithm != "none" && !CLIENT_SIGNATURES.contains(&algorithm.as_str()) {
            let problem = format!("{algorithm} is not one of {}", CLIENT_SIGNATURES.join(", "));
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
