//! The ordered table of checks that a request must pass.
//!
//! Before the table nothing is trusted: the redirect URI is found among the client's, and how and with which `state`
//! to answer is read, so that every later error can be told to the relying party. Adding a check is a file and a line.

mod acr;
mod claims;
mod code;
mod hint;
mod max_age;
mod nonce;
mod prompt;
mod repeated;
mod resource;
mod response_mode;
mod unsupported;

use super::{Asked, AuthorizationRequest, Misunderstood};
use crate::{
    clients::Client,
    failure::Failure,
    oauth::{Error, Parameters, TrustedRedirectUri},
};

/// One check. It reads what was asked and notes what it understood.
struct Check {
    run: fn(&Asked<'_>, &mut AuthorizationRequest) -> Result<(), Failure>,
}

/// In this order; the first that fails is the answer.
static CHECKS: [Check; 11] = [
    Check { run: repeated::check },
    Check { run: response_mode::check },
    Check { run: unsupported::check },
    Check { run: code::check },
    Check { run: resource::check },
    Check { run: prompt::check },
    Check { run: max_age::check },
    Check { run: nonce::check },
    Check { run: claims::check },
    Check { run: acr::check },
    Check { run: hint::check },
];

/// Runs the table.
pub fn understand(asked: &Asked<'_>) -> Result<AuthorizationRequest, Misunderstood> {
    let mut request =
        AuthorizationRequest::addressed(asked.parameters, asked.client).map_err(Misunderstood::Untrusted)?;
    for check in &CHECKS {
        match (check.run)(asked, &mut request) {
            Ok(()) => {}
            Err(Failure::Refused(error)) => {
                return Err(Misunderstood::Refused(Box::new(request.refuse(asked.issuer, &error)), error));
            }
            Err(broken) => return Err(Misunderstood::Broken(broken)),
        }
    }
    Ok(request)
}

impl AuthorizationRequest {
    /// The beginning of every answer: where it may go, with which `state` and how. Nothing else has been looked at.
    pub(super) fn addressed(parameters: &Parameters, client: &Client) -> Result<Self, Error> {
        // OIDC Core §3.1.2.1 requires the parameter; plain OAuth may leave out the only one (OAuth 2.1 §4.1.1).
        let is_openid = parameters.get("scope").is_some_and(|scope| scope.split(' ').any(|token| token == "openid"));
        let twice = |name: &str| parameters.repeated().iter().any(|repeated| repeated == name);
        if twice("redirect_uri") {
            return Err(Error::invalid_request("redirect_uri is sent more than once"));
        }
        let registered = &client.metadata.redirect_uris;
        let redirect_uri = TrustedRedirectUri::trust(parameters.get("redirect_uri"), registered, !is_openid)?;
        let mut request = Self::new(redirect_uri);
        request.names_issuer = client.metadata.authorization_response_iss;
        // RFC 6749 §4.1.2.1: REQUIRED in an error, too, where it was sent. So one that is too long to be kept comes back.
        request.state = parameters.get_of_any_length("state").map(str::to_owned);
        response_mode::prefer(parameters, &mut request);
        Ok(request)
    }
}
