//! How an API says no (RFC 6750 §3).

use std::fmt;

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use serde_json::json;

use super::{Requirement, Unavailable};

/// Why a request is not answered.
#[derive(Debug)]
pub enum Refusal {
    /// No token came with it.
    NoToken,
    /// The `Authorization` header cannot be read.
    InvalidRequest,
    /// The token is dead, unknown, or not for this API.
    InvalidToken,
    /// The token is live, but its person is not authenticated strongly or recently enough (RFC 9470).
    InsufficientUserAuthentication {
        required: Requirement,
        /// Not strongly enough, whatever its age.
        is_weak: bool,
        /// It lacks the scope, too.
        lacks: bool,
    },
    /// The token is live, but lacks this scope.
    InsufficientScope(String),
    /// Nobody could say whether it is live.
    Unavailable,
}

impl From<Unavailable> for Refusal {
    fn from(unavailable: Unavailable) -> Self {
        tracing::error!(%unavailable, "a token could not be validated");
        Self::Unavailable
    }
}

impl Refusal {
    fn code(&self) -> Option<&'static str> {
        match self {
            // RFC 6750 §3.1: a request without a token is told how to bring one, and no more.
            Self::NoToken => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientUserAuthentication { .. } => Some("insufficient_user_authentication"),
            Self::InsufficientScope(_) => Some("insufficient_scope"),
            Self::Unavailable => Some("temporarily_unavailable"),
        }
    }

    pub(super) fn challenge(&self) -> Option<String> {
        let code = self.code().map(|code| format!(" error=\"{code}\"")).unwrap_or_default();
        match self {
            Self::Unavailable => None,
            Self::InsufficientScope(scope) => Some(format!("Bearer{code}, scope=\"{scope}\"")),
            // RFC 9470 §3.
            Self::InsufficientUserAuthentication { required, lacks, .. } => {
                Some(format!("Bearer{code}, error_description=\"{self}\"{}", required.parameters(*lacks)))
            }
            Self::NoToken | Self::InvalidRequest | Self::InvalidToken => Some(format!("Bearer{code}")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("an access token is needed"),
            Self::InvalidRequest => f.write_str("the Authorization header is malformed"),
            Self::InvalidToken => {
                f.write_str("the access token is expired, revoked or unknown, or its session has ended")
            }
            Self::InsufficientUserAuthentication { is_weak: true, .. } => {
                f.write_str("A stronger authentication is required")
            }
            Self::InsufficientUserAuthentication { .. } => f.write_str("A more recent authentication is required"),
            Self::InsufficientScope(scope) => write!(f, "the access token lacks the scope {scope}"),
            Self::Unavailable => f.write_str("the access token cannot be validated at the moment"),
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken | Self::InsufficientUserAuthentication { .. } => {
                StatusCode::UNAUTHORIZED
            }
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope(_) => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(challenge) = self.challenge() {
            answer.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        match self.code() {
            Some(code) => answer.json(json!({ "error": code, "error_description": self.to_string() })),
            None => answer.finish(),
        }
    }
}
