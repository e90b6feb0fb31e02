//! Redeeming a code: that it belongs to this client and redirect URI, and that the PKCE verifier fits.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::{
        accesstoken::{AccessToken, Authorization, Error as MachineError, Input, Output, Request},
        extensions::Pkce,
    },
    primitives::{
        grant::{Extensions, Grant, Value},
        issuer::{IssuedToken, TokenType},
    },
};

use super::{far, out_of_turn};
use crate::{
    failure::{Broken, Failure},
    oauth::Error,
};

/// What the token request says and what the code was issued for.
#[derive(Clone, Copy, Debug)]
pub struct RedemptionFacts<'a> {
    /// The authenticated client.
    pub client_id: &'a str,
    pub code_verifier: Option<&'a str>,
    /// As the token request names it, if it does: OAuth 2.1 §4.1.3 no longer sends it.
    pub redirect_uri: Option<&'a str>,
    pub issued_to: &'a str,
    pub issued_for: &'a str,
    pub code_challenge: Option<&'a str>,
    pub scope: &'a str,
}

impl Request for RedemptionFacts<'_> {
    fn valid(&self) -> bool {
        true
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        Some("loaded".into())
    }
    fn authorization(&self) -> Authorization<'_> {
        Authorization::Username(self.client_id.into())
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        // The machine refuses a request without one; the exact text is compared in `redeem`.
        Some(self.issued_for.into())
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some("authorization_code".into())
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

const SAME_SIGN_IN: &str =
    "the client keeps the code_verifier with the state of the same sign-in, and sends it with the code";

/// Drives the machine through one redemption. Every refusal is `invalid_grant`, and consumes nothing.
pub fn redeem(facts: &RedemptionFacts<'_>) -> Result<(), Failure> {
    // The machine compares parsed URLs; RFC 6749 §4.1.3 wants identical values.
    if facts.redirect_uri.is_some_and(|sent| sent != facts.issued_for) {
        let error = Error::invalid_grant("redirect_uri is not the one of the authorization request");
        let mend = "send the redirect_uri of the authorization request, character by character";
        return Err(error.detail("wrong_redirect_uri").mend(mend).into());
    }
    // Without PKCE nothing else binds the code to the place it was sent to (RFC 6749 §4.1.3, RFC 9700 §4.5).
    if facts.code_challenge.is_none() && facts.redirect_uri.is_none() {
        let error = Error::invalid_grant("redirect_uri is missing: without PKCE it must be sent");
        return Err(error.detail("no_redirect_uri").into());
    }
    let pkce = if facts.code_challenge.is_some() { Pkce::required() } else { Pkce::optional() };
    let mut machine = AccessToken::new(facts);
    let mut input = Input::None;
    loop {
        input = match machine.advance(input) {
            // Authenticated by `clients::authenticate`, before anything is decided.
            Output::Authenticate { .. } => Input::Authenticated,
            Output::Recover { .. } => Input::Recovered(Some(Box::new(grant(facts, &pkce)?))),
            Output::Extend { extensions } => {
                let challenge = extensions.remove(&pkce);
                // RFC 9700 §2.1.1: a verifier without a challenge is a downgrade attempt.
                if challenge.is_none() && facts.code_verifier.is_some() {
                    return Err(Error::invalid_grant(
                        "code_verifier was sent, but the authorization request had no code_challenge",
                    )
                    .detail("verifier_without_challenge")
                    .into());
                }
                if challenge.is_some() && facts.code_verifier.is_none() {
                    let error = Error::invalid_grant(
                        "code_verifier is missing: the authorization request had a code_challenge",
                    );
                    return Err(error.detail("no_verifier").mend(SAME_SIGN_IN).into());
                }
                pkce.verify(challenge, facts.code_verifier.map(Into::into))
                    .map_err(|()| Error::invalid_grant("code_verifier does not fit the code_challenge"))
                    .map_err(|error| error.detail("wrong_verifier").mend(SAME_SIGN_IN))?;
                Input::Extended { access_extensions: Extensions::new() }
            }
            Output::Issue { .. } => Input::Issued(IssuedToken {
                token: String::new(),
                refresh: None,
                until: far(),
                token_type: TokenType::Bearer,
            }),
            Output::Ok(_) => return Ok(()),
            Output::Err(error) => {
                return Err(match *error {
                    MachineError::Primitive(_) => out_of_turn("access token").into(),
                    _ => Error::invalid_grant("the code was not issued to this client").detail("other_client").into(),
                });
            }
        };
    }
}

fn grant(facts: &RedemptionFacts<'_>, pkce: &Pkce) -> Result<Grant, Broken> {
    let mut extensions = Extensions::new();
    if let Some(challenge) = facts.code_challenge {
        // The machine's own encoding of an S256 challenge.
        extensions.set(pkce, Value::private(Some(format!("{challenge}S"))));
    }
    Ok(Grant {
        owner_id: String::new(),
        client_id: facts.issued_to.to_owned(),
        scope: facts.scope.parse().map_err(|error| Broken::new(format_args!("stored scope: {error:?}")))?,
        redirect_uri: facts
            .issued_for
            .parse()
            .map_err(|error| Broken::new(format_args!("stored redirect URI: {error}")))?,
        until: far(),
        extensions,
    })
}
