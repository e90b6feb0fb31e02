//! Declared resource servers (RFC 8707).

use url::Url;

use super::{
    builtin::HUB_PREFIX,
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::{
    failure::Stop,
    oauth::{
        client_metadata::{AccessTokenFormat, is_scope_token},
        resource_uri::is_same,
    },
};

impl Word for AccessTokenFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("opaque", Self::Opaque), ("jwt", Self::Jwt)];
}

static IDENTIFIER: Key<String> = Key::required("identifier", "The value of `resource`, and of `aud`: an absolute URI.");
static SCOPES: Key<Vec<String>> = Key::or(
    "scopes",
    "",
    "The scopes that mean something there; a token for it has at least one of them. Without any, every client can get a token \
     for it: with the person's consent, or for itself by `client_credentials`, but not for an anonymous visitor.",
);
static CLIENT: Key<String> = Key::optional(
    "client",
    "nobody",
    "The `client_id` that may introspect its tokens, beside a client whose id is the identifier.",
);
static ACCESS_TOKEN_FORMAT: Key<AccessTokenFormat> =
    Key::optional("access_token_format", "what the client has", "What its access tokens look like.");

pub static SECTION: Section = Section {
    name: "resource",
    doc: "A resource server that tokens can be meant for (RFC 8707).",
    repeated: true,
    keys: || vec![&IDENTIFIER, &SCOPES, &ACCESS_TOKEN_FORMAT, &CLIENT],
};

/// A declared resource server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub identifier: String,
    /// Empty: its tokens need none.
    pub scopes: Vec<String>,
    /// The client that introspects its tokens.
    pub client: Option<String>,
    /// Absent: what the client has.
    pub access_token_format: Option<AccessTokenFormat>,
}

pub fn read(rows: &[Reader<'_>]) -> Result<Vec<Resource>, Stop> {
    let mut resources: Vec<Resource> = Vec::with_capacity(rows.len());
    for from in rows {
        let resource = one(from)?;
        if resources.iter().any(|other| is_same(&other.identifier, &resource.identifier)) {
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
        client: from.find(&CLIENT)?,
        access_token_format: from.find(&ACCESS_TOKEN_FORMAT)?,
    };
    // RFC 8707 §2: an absolute URI without fragment; RFC 3986 §2: of the characters that scopes have, too.
    let is_uri = Url::parse(&resource.identifier).is_ok() && is_scope_token(&resource.identifier);
    if !is_uri || resource.identifier.contains('#') {
        return Err(from.wrong(&IDENTIFIER, "write an absolute URI without fragment, as in https://api.example"));
    }
    if !resource.scopes.iter().all(|scope| is_scope_token(scope)) {
        return Err(from.wrong(&SCOPES, "each is one scope, without spaces"));
    }
    // A token for the resource and for this server would open the admin API to the resource.
    if resource.scopes.iter().any(|scope| scope.starts_with(HUB_PREFIX)) {
        return Err(from.wrong(&SCOPES, "the scopes of the Identity Hub are this server's own: leave them out"));
    }
    Ok(resource)
}
