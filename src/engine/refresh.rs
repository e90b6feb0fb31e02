//! Refreshing: that the family belongs to this client, and that the scope does not widen.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::{
        error::AccessTokenErrorType,
        refresh::{Error as MachineError, Input, Output, Refresh, Request},
    },
    primitives::{
        grant::{Extensions, Grant},
        issuer::{RefreshedToken, TokenType},
    },
};

use super::{far, no_redirect, out_of_turn};
use crate::{
    failure::{Broken, Failure},
    oauth::Error,
};

/// What the token request says and what was granted.
#[derive(Clone, Copy, Debug)]
pub struct RefreshFacts<'a> {
    /// The authenticated client.
    pub client_id: &'a str,
    pub requested_scope: Option<&'a str>,
    pub issued_to: &'a str,
    pub granted_scope: &'a str,
}

impl Request for RefreshFacts<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn refresh_token(&self) -> Option<Cow<'_, str>> {
        Some("loaded".into())
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        self.requested_scope.map(Into::into)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some("refresh_token".into())
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some((self.client_id.into(), Cow::Borrowed(&[])))
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// Drives the machine through one refresh.
pub fn refresh(facts: &RefreshFacts<'_>) -> Result<(), Failure> {
    let mut machine = Refresh::new(facts);
    // `advance(None)` loses the state of two of the machine's steps, so it is only ever the first input.
    let mut input = Input::None;
    loop {
        input = match machine.advance(input) {
            Output::Unauthenticated { .. } => Input::Authenticated { scope: facts.requested_scope.map(Into::into) },
            Output::RecoverRefresh { .. } => {
                Input::Recovered { scope: facts.requested_scope.map(Into::into), grant: Some(Box::new(grant(facts)?)) }
            }
            // The machine has set `until` to an hour from the system's now; expiry is ours.
            Output::Refresh { .. } => Input::Refreshed(RefreshedToken {
                token: String::new(),
                refresh: None,
                until: far(),
                token_type: TokenType::Bearer,
            }),
            Output::Ok(_) => return Ok(()),
            Output::Err(error) => return Err(refusal(error)),
        };
    }
}

fn grant(facts: &RefreshFacts<'_>) -> Result<Grant, Broken> {
    Ok(Grant {
        owner_id: String::new(),
        client_id: facts.issued_to.to_owned(),
        scope: facts.granted_scope.parse().map_err(|error| Broken::new(format_args!("stored scope: {error:?}")))?,
        redirect_uri: no_redirect()?,
        until: far(),
        extensions: Extensions::new(),
    })
}

fn refusal(mut error: MachineError) -> Failure {
    match error.description().map(oxide_auth::code_grant::error::AccessTokenError::kind) {
        Some(AccessTokenErrorType::InvalidScope) => {
            Error::invalid_scope("scope goes beyond what was granted").detail("wider_scope").into()
        }
        Some(_) => {
            Error::invalid_grant("the refresh token was not issued to this client").detail("other_client").into()
        }
        None => out_of_turn("refresh").into(),
    }
}
