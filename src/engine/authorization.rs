//! The authorization request: response type, scope syntax, PKCE challenge, scope negotiation.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::{
        authorization::{Authorization, Error as MachineError, Input, Output, Request},
        error::AuthorizationErrorType,
        extensions::Pkce,
    },
    primitives::{
        grant::Extensions,
        registrar::{BoundClient, PreGrant},
        scope::Scope as MachineScope,
    },
};

use super::{out_of_turn, registered};
use crate::{
    failure::{Broken, Failure},
    oauth::{Error, ErrorCode},
};

/// What the request says, and what the client may have.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationFacts<'a> {
    pub client_id: &'a str,
    /// Trusted already: it is one of the client's.
    pub redirect_uri: &'a str,
    pub response_type: Option<&'a str>,
    pub scope: Option<&'a str>,
    pub code_challenge: Option<&'a str>,
    pub code_challenge_method: Option<&'a str>,
    pub pkce_required: bool,
    /// It has no secret, so it cannot be registered without PKCE.
    pub is_public: bool,
    /// The scope to go on with, computed from the client's registration.
    pub negotiated_scope: &'a str,
}

impl Request for AuthorizationFacts<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        Some(self.client_id.into())
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Into::into)
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        Some(self.redirect_uri.into())
    }
    fn state(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn response_type(&self) -> Option<Cow<'_, str>> {
        self.response_type.map(Into::into)
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Drives the machine through one request. Errors go to the redirect URI.
pub fn authorize(facts: &AuthorizationFacts<'_>) -> Result<(), Failure> {
    // The machine says unsupported_response_type for a missing one; RFC 6749 §4.1.2.1 says invalid_request.
    if facts.response_type.is_none() {
        return Err(Error::invalid_request("response_type is missing").into());
    }
    let mut machine = Authorization::new(facts);
    let mut input = Input::None;
    loop {
        input = match machine.advance(input) {
            Output::Bind { client_id, .. } => Input::Bound {
                request: facts,
                bound_client: BoundClient {
                    client_id: Cow::Owned(client_id),
                    redirect_uri: Cow::Owned(registered(facts.redirect_uri)?),
                },
            },
            Output::Extend => Input::Extended(challenge(facts)?),
            Output::Negotiate { bound_client, .. } => Input::Negotiated {
                pre_grant: PreGrant {
                    client_id: bound_client.client_id.clone().into_owned(),
                    redirect_uri: bound_client.redirect_uri.clone().into_owned(),
                    scope: facts
                        .negotiated_scope
                        .parse::<MachineScope>()
                        .map_err(|error| Broken::new(format_args!("{error:?}")))?,
                },
                state: None,
            },
            Output::Ok { .. } => return Ok(()),
            Output::Err(error) => return Err(refusal(error)),
        };
    }
}

fn challenge(facts: &AuthorizationFacts<'_>) -> Result<Extensions, Error> {
    let pkce = if facts.pkce_required { Pkce::required() } else { Pkce::optional() };
    let mut extensions = Extensions::new();
    // `plain`, also by omission of the method, is refused: OAuth 2.1 §7.5.1.
    let value = pkce
        .challenge(facts.code_challenge_method.map(Into::into), facts.code_challenge.map(Into::into))
        .map_err(|()| {
            if facts.code_challenge.is_none() {
                let mend = if facts.is_public {
                    "switch on PKCE (S256) in the client's library; a public client cannot do without"
                } else {
                    "switch on PKCE (S256) in the client's library, or set require_pkce = false for this client"
                };
                Error::invalid_request("code_challenge is missing: this client must use PKCE").mend(mend)
            } else {
                Error::invalid_request("code_challenge_method must be S256").mend("switch the client's library to S256")
            }
        })?;
    if let Some(value) = value {
        extensions.set(&pkce, value);
    }
    Ok(extensions)
}

fn refusal(error: MachineError) -> Failure {
    match error {
        MachineError::Redirect(mut url) => match url.description().kind() {
            AuthorizationErrorType::InvalidScope => {
                Error::invalid_scope("scope has a character that is not allowed").into()
            }
            AuthorizationErrorType::UnsupportedResponseType => {
                Error::new(ErrorCode::UnsupportedResponseType, "response_type must be code")
                    .mend("switch the client to the authorization code flow")
                    .into()
            }
            _ => Error::invalid_request("the request is malformed").into(),
        },
        MachineError::Ignore => Error::invalid_request("the request is malformed").into(),
        MachineError::PrimitiveError => out_of_turn("authorization").into(),
    }
}
