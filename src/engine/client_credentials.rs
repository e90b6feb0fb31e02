//! Client credentials: scope syntax and negotiation for a client that acts for itself.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::client_credentials::{ClientCredentials, Error as MachineError, Input, Output, Request},
    primitives::{
        grant::Extensions,
        registrar::{BoundClient, PreGrant, RegisteredUrl},
    },
};

use super::{no_redirect, out_of_turn};
use crate::{
    failure::{Broken, Failure},
    oauth::Error,
};

/// What the token request says, and what the client may have.
#[derive(Clone, Copy, Debug)]
pub struct ClientCredentialsFacts<'a> {
    /// The authenticated client.
    pub client_id: &'a str,
    pub scope: Option<&'a str>,
    /// The scope to go on with, computed from the client's registration.
    pub negotiated_scope: &'a str,
}

impl Request for ClientCredentialsFacts<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((self.client_id.into(), Cow::Borrowed(&[])))
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.scope.map(Into::into)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some("client_credentials".into())
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Drives the machine through one request.
pub fn negotiate(facts: &ClientCredentialsFacts<'_>) -> Result<(), Failure> {
    let mut machine = ClientCredentials::new(facts);
    let mut input = Input::None;
    loop {
        input = match machine.advance(input) {
            Output::Authenticate { .. } => Input::Authenticated,
            Output::Binding { client_id } => Input::Bound {
                bound_client: BoundClient {
                    client_id: Cow::Owned(client_id.to_owned()),
                    redirect_uri: Cow::Owned(RegisteredUrl::Semantic(no_redirect()?)),
                },
            },
            Output::Extend => Input::Extended { extensions: Extensions::new() },
            Output::Negotiate { bound_client, .. } => Input::Negotiated {
                pre_grant: PreGrant {
                    client_id: bound_client.client_id.clone().into_owned(),
                    redirect_uri: bound_client.redirect_uri.clone().into_owned(),
                    scope: facts.negotiated_scope.parse().map_err(|error| Broken::new(format_args!("{error:?}")))?,
                },
            },
            Output::Ok { .. } => return Ok(()),
            Output::Err(error) => {
                return Err(match *error {
                    MachineError::Primitive(_) => out_of_turn("client credentials").into(),
                    // The request was valid but for its scope: everything else is ours.
                    _ => Error::invalid_scope("scope has a character that is not allowed").into(),
                });
            }
        };
    }
}
