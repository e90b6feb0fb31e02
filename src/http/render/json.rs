//! JSON answers, and errors in the form of their RFCs.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    failure::Failure,
    http::{extract::Visit, refusals},
    metrics,
    oauth::{Error, ErrorCode},
};

/// When to try again what could not be answered, in seconds: a server that is busy, or whose database starts again.
pub const SOON: u64 = 2;

/// A JSON answer that nobody may keep (RFC 6749 §5.1).
pub fn private(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    no_store(&mut HttpResponse::build(status)).json(body)
}

/// A signed answer that nobody may keep.
pub fn signed(media_type: &str, jwt: String) -> HttpResponse {
    no_store(&mut HttpResponse::Ok()).insert_header((header::CONTENT_TYPE, media_type)).body(jwt)
}

fn no_store(builder: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    builder
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

/// An error in the form of RFC 6749 §5.2 that no specification has a code for, such as a path that does not exist.
pub fn plain_error(status: StatusCode, code: &str, description: &str) -> HttpResponse {
    private(status, &json!({ "error": code, "error_description": description }))
}

/// A refusal as RFC 6749 §5.2 writes it.
pub fn error(status: StatusCode, error: &Error) -> HttpResponse {
    metrics::refused(error.code.as_str());
    let mut builder = HttpResponse::build(status);
    if let Some(seconds) = error.retry_after {
        builder.insert_header((header::RETRY_AFTER, seconds));
    }
    no_store(&mut builder).json(json!({ "error": error.code.as_str(), "error_description": error.description }))
}

/// A failure at an endpoint where clients authenticate; `client`: who it says to be.
pub fn failure(visit: &Visit, client: Option<&str>, failure: &Failure) -> HttpResponse {
    let refused = match failure {
        Failure::Refused(refused) => refused,
        Failure::Broken(_) => return broken(visit, failure),
    };
    refusals::log(visit, client, refused);
    let status = match refused.code {
        _ if refused.retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::InvalidClient => StatusCode::UNAUTHORIZED,
        // Nobody knows for how long.
        ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = error(status, refused);
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6749 §5.2, RFC 9110 §15.5.2: a 401 says how to do better. Some clients read nothing else of it, so it says
        // why, too.
        let challenge = format!("Basic realm=\"mooring\", charset=\"UTF-8\", {}", reason(refused));
        if let Ok(challenge) = header::HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// A failure at an endpoint that takes access tokens (RFC 6750 §3).
pub fn bearer_failure(visit: &Visit, failure: &Failure) -> HttpResponse {
    let refused = match failure {
        Failure::Refused(refused) => refused,
        Failure::Broken(_) => return broken(visit, failure),
    };
    refusals::log(visit, None, refused);
    // §3.1: a request without any token is told no error.
    if refused.code == ErrorCode::InvalidToken && refused.description.is_empty() {
        metrics::refused("no_token");
        return no_store(&mut HttpResponse::Unauthorized())
            .insert_header((header::WWW_AUTHENTICATE, "Bearer"))
            .json(json!({}));
    }
    let status = match refused.code {
        ErrorCode::InsufficientScope => StatusCode::FORBIDDEN,
        ErrorCode::InvalidRequest => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNAUTHORIZED,
    };
    let challenge = challenge(refused);
    let mut response = error(status, refused);
    if let Ok(challenge) = header::HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn challenge(refused: &Error) -> String {
    format!("Bearer {}", reason(refused))
}

/// As parameters of a challenge.
fn reason(refused: &Error) -> String {
    format!(
        "error=\"{}\", error_description=\"{}\"",
        refused.code.as_str(),
        refused.description.replace(['"', '\\'], "'")
    )
}

fn broken(visit: &Visit, failure: &Failure) -> HttpResponse {
    let (status, code) = match failure {
        Failure::Broken(broken) => {
            refusals::log_broken(visit, broken);
            if broken.is_retryable() {
                (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::TemporarilyUnavailable)
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ServerError)
            }
        }
        Failure::Refused(_) => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::ServerError),
    };
    let description = format!("something went wrong here; it is in the log as request {}", visit.trace.request_id);
    let mut response = error(status, &Error::new(code, description));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, SOON.into());
    }
    response
}
