//! Client authentication (OAuth 2.1 §2.4): exactly one mechanism per request, and it is the registered one. A client that
//! registered none sends its secret in the header or in the body.
//!
//! [`METHODS`] is the list; each file reads its own mechanism out of a request and verifies it.

mod authenticator;
mod client_secret_basic;
mod client_secret_post;
mod hints;
mod none;
pub mod private_key_jwt;

pub use authenticator::Authenticator;
use chrono::{DateTime, Utc};

use super::{Client, secret};
use crate::{
    jose::Assertion,
    oauth::{
        Error, Parameters,
        client_metadata::{AssertionAudience, AuthMethod},
    },
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
    /// Other clients that the same header may be from, with their secrets.
    others: Vec<(String, Vec<String>)>,
}

#[derive(Clone)]
enum Proof {
    None,
    /// In each reading that there is of it.
    Secret(Vec<String>),
    Assertion(String),
}

/// What is left to do after the credentials fit: an assertion has to be used up, once.
pub enum Verified {
    Done,
    Assertion(Assertion),
    /// The secret is right, but it came otherwise than the client is registered to send it: the error for its owner.
    Elsewhere(Error),
}

/// Reads the credentials of a request.
pub fn read(request: &Request<'_>) -> Result<Credentials, Error> {
    let mut found: Option<Credentials> = None;
    for method in &METHODS {
        let Some(mut credentials) = (method.read)(request)? else { continue };
        // RFC 6749 §2.3: a client must not use more than one mechanism per request.
        match &found {
            Some(earlier) if earlier.method != AuthMethod::None => {
                let (one, other) = (earlier.method.as_str(), credentials.method.as_str());
                let mend = format!("the request has {one} and {other}: have the client send one of them");
                let error = Error::invalid_request("the request authenticates the client in more than one way");
                return Err(error.mend(mend));
            }
            // A `client_id` beside another mechanism is no mechanism of its own, but it must be the same client's.
            Some(earlier) if !credentials.choose(&earlier.client_id) => {
                let error = Error::invalid_request("client_id is not the client that authenticates");
                return Err(error.mend("have the client send the same client_id twice, or no client_id in the body"));
            }
            _ => found = Some(credentials),
        }
    }
    found.ok_or_else(|| {
        let mend = "have the client send its credentials, or client_id where it has none; a proxy may remove the Authorization header";
        Error::invalid_client("the request does not say which client it is from").mend(mend)
    })
}

/// Who a request says to be from, where its credentials cannot be read as a whole.
#[must_use]
pub fn claimed(request: &Request<'_>) -> Option<String> {
    METHODS.iter().find_map(|method| (method.read)(request).ok().flatten()).map(|credentials| credentials.client_id)
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
    let client = client.ok_or_else(hints::unknown_client)?;
    if client.is_disabled {
        return Err(hints::disabled_client());
    }
    let fits = |secrets: &[String]| {
        let stored = client.secret_hash.as_deref()?;
        Some(secrets.iter().any(|secret| secret::fits(secret, stored)))
    };
    if !client.metadata.accepts(credentials.method) {
        let mend = hints::wrong_method(&client.metadata, credentials.method);
        return match &credentials.proof {
            // RFC 6749 §2.3.1: the secret may be left out where it is empty, and many libraries send a header all the same.
            Proof::Secret(secrets) if client.metadata.is_public() && secrets.iter().all(String::is_empty) => {
                Ok(Verified::Done)
            }
            // Libraries differ in how they send a secret. The holder of the right one may learn how to send it.
            Proof::Secret(secrets) if fits(secrets) == Some(true) => {
                let how = client.metadata.auth_method().as_str();
                let error = Error::invalid_client(format!("this client is registered to authenticate by {how}"));
                Ok(Verified::Elsewhere(error.detail("wrong_method").mend(mend)))
            }
            _ => Err(hints::failed("wrong_method", mend)),
        };
    }
    match &credentials.proof {
        Proof::None => Ok(Verified::Done),
        Proof::Secret(secrets) => match fits(secrets) {
            Some(true) => Ok(Verified::Done),
            Some(false) | None => Err(hints::wrong_secret(client, secrets)),
        },
        Proof::Assertion(assertion) => {
            let jwks = jwks.or(client.metadata.jwks.as_ref()).ok_or_else(hints::no_keys)?;
            let allowed = client.metadata.token_endpoint_auth_signing_alg.as_deref();
            // draft-ietf-oauth-rfc7523bis §4: the issuer is the only audience. It is the first of these.
            let audiences = match client.metadata.assertion_audience {
                Some(AssertionAudience::Issuer) => audiences.get(..1).unwrap_or_default(),
                Some(AssertionAudience::Endpoint) | None => audiences,
            };
            crate::jose::verify_assertion(assertion, jwks, audiences, allowed, now)
                .map(Verified::Assertion)
                .map_err(|error| hints::bad_assertion(error, &client.metadata, audiences))
        }
    }
}

impl Credentials {
    fn new(client_id: &str, method: AuthMethod, proof: Proof) -> Self {
        Self { client_id: client_id.to_owned(), method, proof, others: Vec::new() }
    }

    /// The ids of all clients that they may be of.
    #[must_use]
    pub fn readings(&self) -> Vec<String> {
        let others = self.others.iter().map(|(client_id, _)| client_id);
        std::iter::once(&self.client_id).chain(others).cloned().collect()
    }

    /// Reads them as this client's; `false` if they cannot be.
    fn choose(&mut self, client_id: &str) -> bool {
        if self.client_id != client_id {
            let Some(at) = self.others.iter().position(|(other, _)| other == client_id) else { return false };
            let (client_id, secrets) = self.others.swap_remove(at);
            self.client_id = client_id;
            self.proof = Proof::Secret(secrets);
        }
        self.others.clear();
        true
    }

    /// Reads them as the credentials of one of these clients (id, hash of its secret): of the one whose secret fits, else of
    /// the first that exists, in the order of the readings.
    pub fn settle(&mut self, found: &[(String, Option<Vec<u8>>)]) {
        let stored = |id: &str| found.iter().find(|(known, _)| known == id);
        let own = match &self.proof {
            Proof::Secret(secrets) => secrets.as_slice(),
            _ => &[],
        };
        let others = self.others.iter().map(|(client_id, secrets)| (client_id, secrets.as_slice()));
        let readings = || std::iter::once((&self.client_id, own)).chain(others.clone());
        let fits = |(id, secrets): &(&String, &[String])| {
            let hash = stored(id).and_then(|(_, hash)| hash.as_deref());
            hash.is_some_and(|hash| secrets.iter().any(|secret| secret::fits(secret, hash)))
        };
        let chosen = readings().find(fits).or_else(|| readings().find(|(id, _)| stored(id).is_some()));
        let chosen = chosen.map_or_else(|| self.client_id.clone(), |(id, _)| id.clone());
        self.choose(&chosen);
    }

    /// The assertion, where that is the mechanism.
    #[must_use]
    pub fn assertion(&self) -> Option<&str> {
        match &self.proof {
            Proof::Assertion(assertion) => Some(assertion),
            _ => None,
        }
    }
}
