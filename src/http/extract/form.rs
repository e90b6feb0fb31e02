//! A form body: what the protocol endpoints and pages take.

use std::{pin::Pin, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::StatusCode,
    web::{Bytes, BytesMut, Data},
};
use futures_util::StreamExt;

use super::Visit;
use crate::{
    app::App,
    http::{refusals, render::json},
    oauth::{Error, ErrorCode, Parameters, parameters::MAX_ENCODED},
};

/// How long a body may take to arrive once its head has. A request is judged as of its head, but for the token endpoint's: whoever
/// lets it wait would have what expires meanwhile taken for good.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parameters of an `application/x-www-form-urlencoded` body (RFC 6749 appendix B).
pub struct Form(pub Parameters);

/// Why a body was not read.
#[derive(Debug)]
pub struct BadBody {
    pub(super) status: StatusCode,
    pub(super) error: Error,
}

impl BadBody {
    /// Writes it to the log, as any refusal is.
    pub(super) fn logged(self, request: &HttpRequest) -> Self {
        if let Some(app) = request.app_data::<Data<App>>() {
            refusals::log(&Visit::of(request, app), None, &self.error);
        }
        self
    }

    /// What came cannot be understood: where a specification has a word of its own for that, the caller says it.
    #[must_use]
    pub fn called(mut self, code: ErrorCode) -> Self {
        if self.status == StatusCode::BAD_REQUEST {
            self.error.code = code;
        }
        self
    }
}

impl std::fmt::Display for BadBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error.description)
    }
}

impl ResponseError for BadBody {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        json::error(self.status, &self.error)
    }
}

impl FromRequest for Form {
    type Error = BadBody;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BadBody>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = request.content_type().eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let form = if is_form {
                read(payload, MAX_ENCODED).await.and_then(|body| {
                    Parameters::parse(&body).map_err(|error| BadBody { status: StatusCode::BAD_REQUEST, error })
                })
            } else {
                let error = Error::invalid_request("the body must be application/x-www-form-urlencoded");
                Err(BadBody { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, error })
            };
            form.map(Self).map_err(|bad| bad.logged(&request))
        })
    }
}

/// The body of whatever type, where one is taken but not needed.
pub struct Body(pub Bytes);

impl FromRequest for Body {
    type Error = BadBody;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BadBody>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move { read(payload, MAX_ENCODED).await.map(Self).map_err(|bad| bad.logged(&request)) })
    }
}

/// The body, if it is not longer than so many octets and arrives in time.
pub(super) async fn read(payload: Payload, longest: usize) -> Result<Bytes, BadBody> {
    tokio::time::timeout(PATIENCE, collect(payload, longest)).await.unwrap_or_else(|_| {
        Err(BadBody {
            status: StatusCode::REQUEST_TIMEOUT,
            error: Error::invalid_request("the body took too long to arrive"),
        })
    })
}

async fn collect(mut payload: Payload, longest: usize) -> Result<Bytes, BadBody> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BadBody {
            status: StatusCode::BAD_REQUEST,
            error: Error::invalid_request("the body could not be read"),
        })?;
        if body.len() + chunk.len() > longest {
            return Err(BadBody {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                error: Error::invalid_request("the body is too long"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
