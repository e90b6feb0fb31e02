//! Client authentication (OAuth 2.1 §2.4): exactly one mechanism per request, and it is the registered one.
//!
//! [`METHODS`] is the list; each file reads its own mechanism out of a request and verifies it.

mod authenticator;
mod client_secret_basic;
mod client_secret_post;
mod none;
pub mod private_key_jwt;

pub use authenticator::Authenticator;
use chrono::{DateTime, Utc};

use super::{Client, secret};
use crate::{
    jose::Assertion,
    oauth::{Error, Parameters, client_metadata::AuthMethod},
};

/// A mechanism. Adding one is a file here and a line in [`METHODS`].
struct Method {
    method: AuthMethod,
    /// What the request presents by this mechanism, if it does.
    read: fn(&Request<'_>) -> Result<Option<Credentials>, Error>,
}

static METHODS: [Method; 4] =
    [none::METHOD, client_secret_basic::METHOD, client_secret_post::METHOD, private_key_jwt::METHOD];

/// The names of all mechanisms, for the discovery document.
pub fn method_names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.method.as_str())
}

/// The part of a request in which clients authenticate.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    pub parameters: &'a Parameters,
}

/// What a client presented, not yet verified.
#[derive(Clone)]
pub struct Credentials {
    pub client_id: String,
    pub method: AuthMethod,
    proof: Proof,
}

#[derive(Clone)]
enum Proof {
    None,
    Secret(String),
    Assertion(String),
}

/// What is left to do after the credentials fit: an assertion has to be used up, once.
pub enum Verified {
    Done,
    Assertion(Assertion),
}

/// Reads the credentials of a request.
pub fn read(request: &Request<'_>) -> Result<Credentials, Error> {
    let mut found: Option<Credentials> = None;
    for method in &METHODS {
        let Some(credentials) = (method.read)(request)? else { continue };
        // RFC 6749 §2.3: a client must not use more than one mechanism per request.
        match &found {
            Some(earlier) if earlier.method != AuthMethod::None => {
                return Err(Error::invalid_request("the request authenticates the client in more than one way"));
            }
            // A `client_id` beside another mechanism is no mechanism of its own, but it must be the same client's.
            Some(earlier) if earlier.client_id != credentials.client_id => {
                return Err(Error::invalid_request("client_id is not the client that authenticates"));
            }
            _ => found = Some(credentials),
        }
    }
    found.ok_or_else(|| Error::invalid_client("the request does not say which client it is from"))
}

/// Verifies credentials against the client they name. An unknown or disabled client and a wrong secret get the same
/// answer. `jwks` holds the keys of a `private_key_jwt` client.
pub fn verify(
    credentials: &Credentials,
    client: Option<&Client>,
    jwks: Option<&serde_json::Value>,
    audiences: &[&str],
    now: DateTime<Utc>,
) -> Result<Verified, Error> {
    let failed = |detail: &'static str| Error::invalid_client("client authentication failed").detail(detail);
    let client = client.ok_or_else(|| failed("unknown_client"))?;
    if client.is_disabled {
        return Err(failed("disabled_client"));
    }
    let fits = |secret: &str| client.secret_hash.as_deref().map(|stored| secret::fits(secret, stored));
    let registered = client.metadata.token_endpoint_auth_method;
    if registered != credentials.method {
        // Libraries differ in how they send a secret when nobody says; who holds it may learn how it is to be sent.
        return Err(match &credentials.proof {
            Proof::Secret(secret) if fits(secret) == Some(true) => {
                let how = registered.as_str();
                Error::invalid_client(format!("this client is registered to authenticate by {how}"))
                    .detail("wrong_method")
            }
            _ => failed("wrong_method"),
        });
    }
    match &credentials.proof {
        Proof::None => Ok(Verified::Done),
        Proof::Secret(secret) => match fits(secret) {
            Some(true) => Ok(Verified::Done),
            Some(false) => Err(failed("wrong_secret")),
            None => Err(failed("no_secret")),
        },
        Proof::Assertion(assertion) => {
            let jwks = jwks.or(client.metadata.jwks.as_ref()).ok_or_else(|| failed("no_keys"))?;
            let allowed = client.metadata.token_endpoint_auth_signing_alg.as_deref();
            crate::jose::verify_assertion(assertion, jwks, audiences, allowed, now)
                .map(Verified::Assertion)
                // What only the holder of a key may learn has no detail; anything else must not tell who exists.
                .map_err(|error| if error.detail.is_some() { failed("bad_assertion") } else { error })
        }
    }
}

impl Credentials {
    /// The assertion, where that is the mechanism.
    #[must_use]
    pub fn assertion(&self) -> Option<&str> {
        match &self.proof {
            Proof::Assertion(assertion) => Some(assertion),
            _ => None,
        }
    }
}
