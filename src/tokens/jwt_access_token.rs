//! JWT access tokens (RFC 9068). The row in the database is what makes one live; `jti` names it.

use serde_json::{Map, Value, json};

use super::mint::AccessTokenFacts;

/// RFC 9068 §2.1.
pub const JWT_TYPE: &str = "at+jwt";

/// The claims of RFC 9068 §2.2, with `sid`.
pub fn claims(issuer: &str, facts: &AccessTokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".into(), issuer.into());
    // §2.2: without a person, the client is the subject.
    claims.insert("sub".into(), facts.subject.unwrap_or(facts.client_id).into());
    claims.insert("aud".into(), audience(facts.audience));
    claims.insert("exp".into(), facts.expires_at.timestamp().into());
    claims.insert("iat".into(), facts.issued_at.timestamp().into());
    claims.insert("jti".into(), facts.id.to_string().into());
    claims.insert("client_id".into(), facts.client_id.into());
    claims.insert("scope".into(), facts.scope.into());
    claims.insert("sid".into(), facts.sid.to_string().into());
    if let Some(groups) = facts.groups {
        // §2.2.3.1.
        claims.insert("groups".into(), json!(groups));
    }
    if facts.subject.is_some() {
        // §2.2.1, as RFC 9470 wants them. A visitor has an acr and nothing else.
        claims.insert("acr".into(), facts.acr.into());
        if let Some(auth_time) = facts.auth_time {
            claims.insert("auth_time".into(), auth_time.timestamp().into());
            claims.insert("amr".into(), json!(facts.amr));
        }
    }
    claims
}

fn audience(audience: &[String]) -> Value {
    match audience {
        [one] => one.as_str().into(),
        many => json!(many),
    }
}
