//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// §2.4: explicit typing, so that one is never taken for an ID token or an access token.
pub const JWT_TYPE: &str = "logout+jwt";

/// §4: not more than two minutes ahead, against replay.
const LIFETIME: TimeDelta = TimeDelta::minutes(2);

/// The one event that there is (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a logout token says.
#[derive(Clone, Copy, Debug)]
pub struct LogoutTokenFacts<'a> {
    pub client_id: &'a str,
    /// Whose session it was, as this client knows them.
    pub subject: Option<&'a str>,
    pub sid: Uuid,
    /// Of this token: a further try is another token.
    pub jti: Uuid,
    pub issued_at: DateTime<Utc>,
}

/// The claims of the token; never a `nonce` (§2.4).
pub fn claims(issuer: &str, facts: &LogoutTokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".into(), issuer.into());
    claims.insert("aud".into(), facts.client_id.into());
    claims.insert("iat".into(), facts.issued_at.timestamp().into());
    claims.insert("exp".into(), (facts.issued_at + LIFETIME).timestamp().into());
    claims.insert("jti".into(), facts.jti.to_string().into());
    claims.insert("events".into(), json!({ EVENT: {} }));
    claims.insert("sid".into(), facts.sid.to_string().into());
    if let Some(subject) = facts.subject {
        claims.insert("sub".into(), subject.into());
    }
    claims
}
