//! ID tokens (OIDC Core §2).

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::jose::{Algorithm, at_hash};

/// The facts of the authentication, as they were when the grant was made.
#[derive(Clone, Copy, Debug)]
pub struct Authentication<'a> {
    pub acr: &'a str,
    pub amr: &'a [String],
    pub auth_time: Option<DateTime<Utc>>,
}

/// What an ID token says.
#[derive(Clone, Copy, Debug)]
pub struct IdTokenFacts<'a> {
    /// The person, as the client knows them.
    pub subject: &'a str,
    pub client_id: &'a str,
    pub sid: Uuid,
    pub authentication: Authentication<'a>,
    pub nonce: Option<&'a str>,
    /// Claims about the person.
    pub person: &'a Map<String, Value>,
    pub access_token: &'a str,
    pub issued_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// The claims of the token.
pub fn claims(issuer: &str, algorithm: Algorithm, facts: &IdTokenFacts<'_>) -> Map<String, Value> {
    // What a person's record says can never stand in for what we say.
    let mut claims = facts.person.clone();
    claims.insert("iss".into(), issuer.into());
    claims.insert("sub".into(), facts.subject.into());
    claims.insert("aud".into(), facts.client_id.into());
    claims.insert("azp".into(), facts.client_id.into());
    claims.insert("exp".into(), facts.expires_at.timestamp().into());
    claims.insert("iat".into(), facts.issued_at.timestamp().into());
    claims.insert("sid".into(), facts.sid.to_string().into());
    claims.insert("acr".into(), facts.authentication.acr.into());
    claims.insert("at_hash".into(), at_hash(algorithm, facts.access_token).into());
    if !facts.authentication.amr.is_empty() {
        claims.insert("amr".into(), json!(facts.authentication.amr));
    }
    if let Some(auth_time) = facts.authentication.auth_time {
        claims.insert("auth_time".into(), auth_time.timestamp().into());
    }
    if let Some(nonce) = facts.nonce {
        claims.insert("nonce".into(), nonce.into());
    }
    claims
}
