//! A resource request: bearer syntax, and whether the token's scope suffices.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::resource::{Error as MachineError, ErrorCode as MachineCode, Input, Output, Request, Resource},
    primitives::{
        grant::{Extensions, Grant},
        scope::Scope as MachineScope,
    },
};

use super::{far, no_redirect, out_of_turn};
use crate::{
    failure::{Broken, Failure},
    oauth::{Error, ErrorCode},
};

struct Bearer;

impl Request for Bearer {
    fn valid(&self) -> bool {
        true
    }
    fn token(&self) -> Option<Cow<'_, str>> {
        // The machine knows only the header form; ours may have come in the body (RFC 6750 §2.2).
        Some("Bearer loaded".into())
    }
}

/// Whether a live token of `scope` opens what `required` protects.
pub fn admit(required: &str, scope: &str) -> Result<(), Failure> {
    let parse =
        |text: &str| text.parse::<MachineScope>().map_err(|error| Broken::new(format_args!("scope: {error:?}")));
    let required = [parse(required)?];
    let grant = Grant {
        owner_id: String::new(),
        client_id: String::new(),
        scope: parse(scope)?,
        redirect_uri: no_redirect()?,
        until: far(),
        extensions: Extensions::new(),
    };
    let mut machine = Resource::new();
    let mut input = Input::None;
    loop {
        input = match machine.advance(input) {
            Output::GetRequest => Input::Request { request: &Bearer },
            Output::DetermineScopes => Input::Scopes(&required),
            Output::Recover { .. } => Input::Recovered(Some(grant.clone())),
            Output::Ok(_) => return Ok(()),
            Output::Err(MachineError::AccessDenied { failure, .. }) => {
                return Err(match failure.code {
                    Some(MachineCode::InsufficientScope) => {
                        Error::new(ErrorCode::InsufficientScope, "the token's scope does not allow this").into()
                    }
                    _ => Error::invalid_token("the token is not valid").into(),
                });
            }
            Output::Err(_) => return Err(out_of_turn("resource").into()),
        };
    }
}
