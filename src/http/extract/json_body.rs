//! A JSON body: what client registration takes.

use std::pin::Pin;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::StatusCode};
use serde_json::Value;

use super::form::{BadBody, read};
use crate::oauth::{Error, ErrorCode};

/// The longest that is read, in octets.
const LONGEST: usize = 64 << 10;

/// Any JSON value of at most 64 KiB.
pub struct JsonBody(pub Value);

impl FromRequest for JsonBody {
    type Error = BadBody;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BadBody>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let payload = payload.take();
        Box::pin(async move {
            if !is_json {
                let error = Error::invalid_request("the body must be application/json");
                return Err(BadBody { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, error });
            }
            let body = read(payload, LONGEST).await?;
            serde_json::from_slice(&body).map(Self).map_err(|error| {
                let said = format!("the body is not JSON, by line {} column {}", error.line(), error.column());
                BadBody { status: StatusCode::BAD_REQUEST, error: Error::new(ErrorCode::InvalidClientMetadata, said) }
            })
        })
    }
}
