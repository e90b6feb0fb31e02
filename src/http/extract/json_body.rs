//! A JSON body: what client registration, the admin API and the scripts of our pages send.

use std::pin::Pin;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::StatusCode, web::Bytes};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::form::{BadBody, read};
use crate::{
    jose::{TOO_MANY_ELEMENTS, parse_bounded},
    oauth::Error,
};

/// The longest that is read, in octets.
const LONGEST: usize = 64 << 10;

/// The most values, arrays and objects included: client metadata with a hundred keys has a thousand.
const MOST_ELEMENTS: usize = 2000;

/// Any JSON value of at most 64 KiB and 2,000 values.
pub struct JsonBody(pub Value);

/// What the admin API takes: the members of `T`, in at most 32 KiB.
pub struct TypedJson<T>(pub T);

impl FromRequest for JsonBody {
    type Error = BadBody;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BadBody>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (body, request) = (json(request, payload, LONGEST), request.clone());
        Box::pin(async move {
            let parsed =
                body.await.and_then(|body| parse_bounded(&body, MOST_ELEMENTS).map_err(|error| not_json(&error)));
            parsed.map(Self).map_err(|bad| bad.logged(&request))
        })
    }
}

impl<T: DeserializeOwned> FromRequest for TypedJson<T> {
    type Error = BadBody;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BadBody>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (body, request) = (json(request, payload, LONGEST / 2), request.clone());
        Box::pin(async move {
            let parsed = body.await.and_then(|body| serde_json::from_slice(&body).map_err(|error| not_json(&error)));
            parsed.map(Self).map_err(|bad| bad.logged(&request))
        })
    }
}

/// Where it is wrong. What was sent may hold a secret, and the parser's own words quote it.
fn not_json(error: &serde_json::Error) -> BadBody {
    let said = match error.classify() {
        serde_json::error::Category::Data if error.to_string().starts_with(TOO_MANY_ELEMENTS) => {
            format!("the body has too many elements, by column {}", error.column())
        }
        serde_json::error::Category::Data => {
            format!("a member is missing, unknown, doubled or of the wrong kind, by column {}", error.column())
        }
        _ => format!("the body is not JSON, by line {} column {}", error.line(), error.column()),
    };
    BadBody { status: StatusCode::BAD_REQUEST, error: Error::invalid_request(said) }
}

/// The octets of a body that says to be JSON.
fn json(
    request: &HttpRequest,
    payload: &mut Payload,
    longest: usize,
) -> impl Future<Output = Result<Bytes, BadBody>> + 'static {
    let is_json = request.content_type().eq_ignore_ascii_case("application/json");
    let payload = payload.take();
    async move {
        if !is_json {
            let error = Error::invalid_request("the body must be application/json");
            return Err(BadBody { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, error });
        }
        read(payload, longest).await
    }
}
