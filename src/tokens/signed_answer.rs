//! Answers that are signed for one reader: userinfo (OIDC Core §5.3.2), introspection (RFC 9701) and authorization
//! answers (JWT Secured Authorization Response Mode, JARM).
//!
//! None is a token: nothing here accepts one back. A userinfo answer has no `sid`, an authorization answer neither `sub`
//! nor `sid`, and an introspection answer a type of its own and no `sub`, so that none passes for an ID token or an
//! access token (RFC 8725 §3.12).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::Mint;
use crate::{failure::Broken, jose::Algorithm};

/// RFC 9701 §5; as a media type, below `application/`.
pub const INTROSPECTION_TYPE: &str = "token-introspection+jwt";

/// How long an authorization answer is good. JARM §2.1: at most ten minutes are recommended; the code inside lives
/// shorter still.
const RESPONSE_LIFETIME: TimeDelta = TimeDelta::minutes(5);

impl Mint {
    /// The claims of a userinfo answer, signed for the client that asked.
    pub fn userinfo(
        &self,
        algorithm: Algorithm,
        client_id: &str,
        mut claims: Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<String, Broken> {
        claims.insert("iss".into(), self.issuer.as_str().into());
        claims.insert("aud".into(), client_id.into());
        self.keys.signing(algorithm, now)?.sign("JWT", &claims)
    }

    /// An introspection answer, signed for the caller. RFC 9701 §5: neither `sub` nor `exp` beside it.
    pub fn introspection(
        &self,
        algorithm: Algorithm,
        caller_id: &str,
        answer: Value,
        now: DateTime<Utc>,
    ) -> Result<String, Broken> {
        let mut claims = Map::new();
        claims.insert("iss".into(), self.issuer.as_str().into());
        claims.insert("aud".into(), caller_id.into());
        claims.insert("iat".into(), now.timestamp().into());
        claims.insert("token_introspection".into(), answer);
        self.keys.signing(algorithm, now)?.sign(INTROSPECTION_TYPE, &claims)
    }

    /// The `response` of an authorization answer with these parameters (JARM §2.1). JARM names no type of its own, and
    /// some readers take no other than `JWT`.
    pub fn authorization_response(
        &self,
        algorithm: Algorithm,
        client_id: &str,
        parameters: &[(&'static str, String)],
        now: DateTime<Utc>,
    ) -> Result<String, Broken> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
        let mut claims: Map<String, Value> = parameters.collect();
        claims.insert("iss".into(), self.issuer.as_str().into());
        claims.insert("aud".into(), client_id.into());
        claims.insert("exp".into(), (now + RESPONSE_LIFETIME).timestamp().into());
        claims.insert("iat".into(), now.timestamp().into());
        self.keys.signing(algorithm, now)?.sign("JWT", &claims)
    }
}
