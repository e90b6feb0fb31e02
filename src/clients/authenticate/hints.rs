//! What would mend a failed client authentication, for the operator who reads the log.
//!
//! The caller never sees any of it: an unknown client, a disabled one and a wrong secret get one answer. Invariant: no secret,
//! assertion or code is in it.

use std::borrow::Cow;

use super::secret;
use crate::{
    clients::Client,
    oauth::{
        ClientMetadata, Error,
        client_metadata::{AssertionAudience, AuthMethod},
    },
};

/// The one answer, with a stable word and a hint for the log.
pub(super) fn failed(reason: &'static str, mend: impl Into<Cow<'static, str>>) -> Error {
    Error::invalid_client("client authentication failed").detail(reason).mend(mend)
}

pub(super) fn unknown_client() -> Error {
    failed("unknown_client", "correct the client_id, or add the client; `mooring client list` prints every client")
}

pub(super) fn disabled_client() -> Error {
    failed("disabled_client", "the client was disabled, which nothing undoes: add another client")
}

/// A secret was sent that is not the client's.
pub(super) fn wrong_secret(client: &Client, secrets: &[String]) -> Error {
    let Some(stored) = client.secret_hash.as_deref() else {
        return failed("no_secret", "the client has no secret: give it a client_secret, or have it send none");
    };
    let has_margin = |secret: &String| secret.trim() != secret && secret::fits(secret.trim(), stored);
    failed(
        "wrong_secret",
        if secrets.iter().any(has_margin) {
            "the right secret was sent with white space or a line break around it: remove that from the client's configuration"
        } else {
            "configure the client with the client_secret of its [[client]], or with the one that was printed when it was \
             added: a secret is not shown again"
        },
    )
}

/// The credentials are of a kind that the client is not registered for.
pub(super) fn wrong_method(client: &ClientMetadata, sent: AuthMethod) -> String {
    let registered = match client.token_endpoint_auth_method {
        None => "client_secret_basic or client_secret_post",
        Some(method) => method.as_str(),
    };
    let name = sent.as_str();
    match (sent, client.auth_method()) {
        (AuthMethod::None, _) => format!(
            "the request has a client_id and no credentials, and the client is registered for {registered}: switch that on in \
             the client, or set token_endpoint_auth_method = \"none\" for a client that can keep no secret"
        ),
        (_, AuthMethod::None) => format!(
            "the request has credentials ({name}), and the client is public: have it send none, or register it for {name}"
        ),
        _ => format!(
            "the request has {name}, and the client is registered for {registered}: switch the client to that, or set \
             token_endpoint_auth_method = \"{name}\""
        ),
    }
}

pub(super) fn no_keys() -> Error {
    failed("no_keys", "the client has no keys: give it jwks or jwks_uri")
}

/// An assertion that was refused. What only the holder of a key may learn has no detail; anything else must not tell who
/// exists.
pub(super) fn bad_assertion(error: Error, client: &ClientMetadata, audiences: &[&str]) -> Error {
    if error.detail.is_some() {
        return Error { mend: error.mend, sent: error.sent, ..failed("bad_assertion", "") };
    }
    if !matches!(error.sent, Some(("aud", _))) {
        return error;
    }
    let issuer = audiences.first().copied().unwrap_or_default();
    error.mend(match client.assertion_audience {
        Some(AssertionAudience::Issuer) => format!(
            "the client's assertion_audience is \"issuer\": have it set aud to {issuer}, or set assertion_audience = \"endpoint\""
        ),
        Some(AssertionAudience::Endpoint) | None => format!("have the client set aud to {issuer}"),
    })
}

pub(super) fn replayed() -> Error {
    Error::invalid_client("the jti of the client assertion was used before")
        .detail("assertion_replayed")
        .mend("have the client make an assertion with another jti for each request, repeated ones included")
}
