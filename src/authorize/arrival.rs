//! How an authorization request arrives: as parameters, in a request object by value or by reference (RFC 9101), or
//! pushed before (RFC 9126).
//!
//! Whatever the way, it ends in one list of parameters, and [`super::understand`] judges that and nothing else. A request
//! that has to wait is stored as that list, so an object is fetched and verified once, and what was understood stays.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::{AuthorizationRequest, Misunderstood, ObjectCache, parameters};
use crate::{
    clients::{
        Client,
        jwks::{self, JwksCache},
    },
    config,
    jose::{Expected, RequestObject},
    oauth::{Error, ErrorCode, Parameters},
    outbound::Outbound,
    tokens::REQUEST_URI,
};

/// The way a request came.
#[derive(Clone, Copy)]
pub enum Arrival<'p> {
    Plain,
    /// In this object.
    Object(&'p str),
    /// In an object at this URI.
    Reference(&'p str),
    /// Pushed; this is what names it.
    Pushed(&'p str),
}

impl<'p> Arrival<'p> {
    pub fn of(parameters: &'p Parameters) -> Result<Self, Error> {
        match (parameters.get("request"), parameters.get("request_uri")) {
            // RFC 9101 §5: one of them, not both.
            (Some(_), Some(_)) => Err(Error::invalid_request("request and request_uri are both sent")),
            (Some(object), None) => Ok(Self::Object(object)),
            (None, Some(uri)) if uri.starts_with(REQUEST_URI) => Ok(Self::Pushed(uri)),
            (None, Some(uri)) => Ok(Self::Reference(uri)),
            // Sent twice they have no value; the checks refuse that.
            (None, None) => Ok(Self::Plain),
        }
    }
}

/// Where a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Authorization,
    Push,
}

/// What it takes to read one.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub endpoint: Endpoint,
    pub settings: &'a config::RequestObjects,
    pub issuer: &'a str,
    pub outbound: &'a Outbound,
    pub jwks: &'a JwksCache,
    pub objects: &'a ObjectCache,
    pub now: DateTime<Utc>,
}

impl Reader<'_> {
    /// The parameters that count: those sent, or those of the request object alone (RFC 9101 §6.3).
    pub async fn read<'p>(
        &self,
        client: &Client,
        sent: &'p Parameters,
        arrival: Arrival<'p>,
    ) -> Result<Cow<'p, Parameters>, Misunderstood> {
        let refused = |error| refuse(sent, client, self.issuer, error);
        // RFC 9126 §6.
        if self.endpoint == Endpoint::Authorization && client.metadata.require_pushed_authorization_requests {
            let error = Error::invalid_request("this client must push its requests (request_uri of PAR)");
            return Err(refused(error.mend("switch on PAR, or set require_pushed_authorization_requests = false")));
        }
        let text = match arrival {
            // RFC 9101 §10.5.
            Arrival::Plain if client.metadata.require_signed_request_object => {
                let error = Error::invalid_request("this client must ask by signed request objects");
                return Err(refused(error.mend("sign the request, or set require_signed_request_object = false")));
            }
            Arrival::Plain => return Ok(Cow::Borrowed(sent)),
            Arrival::Object(text) => Cow::Borrowed(text),
            Arrival::Reference(uri) => Cow::Owned(self.fetch(client, uri).await.map_err(refused)?),
            Arrival::Pushed(_) => {
                return Err(refused(Error::new(ErrorCode::InvalidRequestUri, "the request_uri is not for this place")));
            }
        };
        let object = RequestObject::read(&text).map_err(refused)?;
        // Whoever puts everything into the object is told where it says; it is trusted no further than a parameter is.
        let said = parameters::from_claims(object.unverified_claims(), &client.id);
        let told_at = if sent.get("redirect_uri").is_some() { Ok(sent) } else { said.as_ref() };
        let refused = |error| refuse(told_at.unwrap_or(sent), client, self.issuer, error);
        self.verify(client, object, &text).await.map_err(refused)?;
        let said = said.as_ref().map_err(|error| refused(error.clone()))?;
        // OIDC Core §6.1: it MUST match.
        if let (Some(inside), Some(outside)) = (said.get("response_type"), sent.get("response_type"))
            && inside != outside
        {
            let problem = "response_type of the request is not that of the request object";
            return Err(refused(Error::new(ErrorCode::InvalidRequestObject, problem)));
        }
        Ok(Cow::Owned(said.clone()))
    }

    async fn verify(&self, client: &Client, object: RequestObject<'_>, text: &str) -> Result<(), Error> {
        let metadata = &client.metadata;
        let fetched = match &metadata.jwks_uri {
            Some(uri) if !object.is_unsigned() => Some(self.jwks.get_for(self.outbound, uri, text).await),
            _ => None,
        };
        let fetched = fetched.transpose();
        let keys = fetched.as_ref().ok().and_then(Option::as_deref);
        let expected = Expected {
            client_id: &client.id,
            issuer: self.issuer,
            algorithm: metadata.request_object_signing_alg.as_deref(),
            unsigned: self.settings.unsigned && !metadata.require_signed_request_object,
            jwks: keys.or(metadata.jwks.as_ref()),
            now: self.now,
        };
        object.verify(&expected).map(drop).map_err(|error| match &fetched {
            Err(why) => error.mend(jwks::unfetched(why)),
            Ok(_) => error,
        })
    }

    async fn fetch(&self, client: &Client, uri: &str) -> Result<String, Error> {
        if !self.settings.by_reference {
            let error = Error::new(ErrorCode::RequestUriNotSupported, "request_uri is taken only from PAR");
            return Err(error.mend("push the request, or set request_objects.by_reference = true"));
        }
        // OIDC Registration §2, and what keeps strangers from sending us anywhere: only where the client said before.
        if !client.metadata.request_uris.iter().any(|registered| registered == uri) {
            let problem = "the request_uri is not one registered for this client";
            let error = Error::new(ErrorCode::InvalidRequestUri, problem).mend("add it to the client's request_uris");
            return Err(error.sent("request_uri", uri));
        }
        self.objects.get(self.outbound, uri).await.map_err(|unfetched| {
            Error::new(ErrorCode::InvalidRequestUri, "the request_uri could not be fetched").detail(unfetched.0)
        })
    }
}

/// Refuses a request as a whole. Nothing in it has been believed yet, so the relying party is told only at a redirect URI
/// that the parameters name and the client has registered.
pub fn refuse(parameters: &Parameters, client: &Client, issuer: &str, error: Error) -> Misunderstood {
    let addressed =
        parameters.get("redirect_uri").and_then(|_| AuthorizationRequest::addressed(parameters, client).ok());
    match addressed {
        Some(request) => Misunderstood::Refused(Box::new(request.refuse(issuer, &error)), error),
        None => Misunderstood::Untrusted(error),
    }
}
