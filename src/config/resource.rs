//! Declared resource servers (RFC 8707).

use url::Url;

use super::{
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::{
    failure::Stop,
    oauth::client_metadata::{AccessTokenFormat, is_scope_token},
};

impl Word for AccessTokenFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("opaque", Self::Opaque), ("jwt", Self::Jwt)];
}

static IDENTIFIER: Key<String> = Key::required("identifier", "The value of `resource`, and of `aud`: an absolute URI.");
static SCOPES: Key<Vec<String>> =
    Key::or("scopes", "", "The scopes that mean something there; a token for it has at least one of them.");
static ACCESS_TOKEN_FORMAT: Key<AccessTokenFormat> =
    Key::optional("access_token_format", "what the client has", "What its access tokens look like.");

pub static SECTION: Section = Section {
    name: "resource",
    doc: "A resource server that tokens can be meant for (RFC 8707).",
    repeated: true,
    keys: || vec![&IDENTIFIER, &SCOPES, &ACCESS_TOKEN_FORMAT],
};

/// A declared resource server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub identifier: String,
    pub scopes: Vec<String>,
    /// Absent: what the client has.
    pub access_token_format: Option<AccessTokenFormat>,
}

pub fn read(rows: &[Reader<'_>]) -> Result<Vec<Resource>, Stop> {
    let mut resources: Vec<Resource> = Vec::with_capacity(rows.len());
    for from in rows {
        let resource = one(from)?;
        if resources.iter().any(|other| other.identifier == resource.identifier) {
            return Err(from.wrong(&IDENTIFIER, "another [[resource]] above has this identifier: keep one of them"));
        }
        resources.push(resource);
    }
    Ok(resources)
}

fn one(from: &Reader<'_>) -> Result<Resource, Stop> {
    let resource = Resource {
        identifier: from.get(&IDENTIFIER)?,
        scopes: from.get(&SCOPES)?,
        access_token_format: from.find(&ACCESS_TOKEN_FORMAT)?,
    };
    // RFC 8707 §2: an absolute URI without fragment.
    if Url::parse(&resource.identifier).is_err() || resource.identifier.contains('#') {
        return Err(from.wrong(&IDENTIFIER, "write an absolute URI without fragment, as in https://api.example"));
    }
    if !resource.scopes.iter().all(|scope| is_scope_token(scope)) {
        return Err(from.wrong(&SCOPES, "each is one scope, without spaces"));
    }
    Ok(resource)
}
