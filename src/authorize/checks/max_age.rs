//! `max_age`, or the client's default (OIDC Core §3.1.2.1, OIDC Registration §2).

use chrono::TimeDelta;

use super::{Asked, AuthorizationRequest};
use crate::{failure::Failure, oauth::Error};

pub fn check(asked: &Asked<'_>, request: &mut AuthorizationRequest) -> Result<(), Failure> {
    let seconds = match asked.parameters.get("max_age") {
        Some(text) => Some(whole(text).ok_or_else(|| Error::invalid_request("max_age is not a number of seconds"))?),
        None => asked.client.metadata.default_max_age,
    };
    request.max_age = seconds.map(|seconds| TimeDelta::seconds(seconds.into()));
    Ok(())
}

/// Digits and nothing else: Rust would take a sign, too.
fn whole(text: &str) -> Option<u32> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}
