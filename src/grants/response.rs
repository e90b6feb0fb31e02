//! The token response, and the tokens in it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Exchange;
use crate::{
    clients::{
        Client,
        scope::{offered, registered, unprivileged},
    },
    db::Outcome,
    failure::Broken,
    oauth::{
        ClaimsRequest, Scope, claims,
        scope::{GROUPS, OPENID},
    },
    tokens::{AccessTokenFacts, Authentication, IdTokenFacts, MintedAccessToken, not_for_visitors},
};

/// OAuth 2.1 §3.2.3, OIDC Core §3.1.3.3. Nothing here has `Debug`.
#[derive(Serialize)]
pub struct TokenResponse {
    pub access_token: String,
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: i64,
    /// Left out where nothing was granted: at least one token stands in it (RFC 6749 §3.3).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
}

/// What is known about the person and the authentication behind a response.
pub(super) struct Origin<'a> {
    /// The person or visitor; `None`: the client acts for itself.
    pub who: Option<Uuid>,
    /// An anonymous visitor, whom nobody asked anything.
    pub is_visitor: bool,
    pub username: Option<&'a str>,
    pub user_claims: Option<&'a Value>,
    /// `None` where nothing asks for them.
    pub groups: Option<&'a [String]>,
    pub sid: Uuid,
    pub acr: &'a str,
    pub amr: &'a [String],
    pub auth_time: Option<DateTime<Utc>>,
    pub claims: Option<&'a Value>,
    /// What the authorization request named with `resource`.
    pub resources: &'a [String],
    /// Whether it hangs on a privileged session: only then has it privileged scopes.
    pub is_privileged: bool,
    /// The session's absolute end, or that of what may be done in it: no token outlives it.
    pub session_expires_at: DateTime<Utc>,
}

/// The end of a session, or an earlier one that is set to what is done in it.
pub(super) fn earlier(end: DateTime<Utc>, until: Option<DateTime<Utc>>) -> DateTime<Utc> {
    until.map_or(end, |until| end.min(until))
}

/// An access token that is minted and not stored yet.
pub(super) struct Prepared {
    pub id: Uuid,
    pub minted: MintedAccessToken,
    /// The person, as the client knows them.
    pub subject: Option<String>,
    /// What was granted: the token has of it what belongs to its audience.
    granted: Scope,
    pub scope_text: String,
    pub audience: Vec<String>,
    pub expires_at: DateTime<Utc>,
}

/// Mints an access token for its audience, with what of `granted` belongs to it.
pub(super) fn prepare(
    exchange: &Exchange<'_>,
    client: &Client,
    origin: &Origin<'_>,
    granted: &Scope,
) -> Outcome<Prepared> {
    // What was taken out of the client's registration is not issued any more.
    let registered = registered(&client.metadata);
    let scopes = &exchange.config.scopes;
    let granted = if origin.is_privileged { offered(granted, scopes) } else { unprivileged(granted, scopes) };
    let granted = granted.filtered(|name| registered.contains(name));
    let audiences = exchange.audiences();
    let named = audiences.named(exchange.parameters.all("resource"))?;
    let chosen = audiences.choose(&named, origin.resources, &granted)?;
    let audience = chosen.identifiers;
    // The API may have listed scopes when the code was issued.
    if origin.is_visitor && !audiences.without_scopes(audience.iter().map(String::as_str)).is_empty() {
        return Err(not_for_visitors().into());
    }
    let format = chosen.format.unwrap_or(client.metadata.access_token_format);
    let id = crate::db::ids::new_id(exchange.now);
    let expires_at = (exchange.now + exchange.config.tokens.access).min(origin.session_expires_at);
    let scope_text = chosen.scope.to_string();
    let subject = origin.who.map(|who| exchange.mint.subjects.of(&client.metadata, who));
    let minted = exchange.mint.access_token(&AccessTokenFacts {
        id,
        format,
        algorithm: client.signing_algorithm(),
        subject: subject.as_deref(),
        client_id: &client.id,
        sid: origin.sid,
        scope: &scope_text,
        audience: &audience,
        groups: origin.groups.filter(|_| chosen.scope.contains(GROUPS)),
        acr: origin.acr,
        amr: origin.amr,
        auth_time: origin.auth_time,
        issued_at: exchange.now,
        expires_at,
    })?;
    Ok(Prepared { id, minted, subject, granted, scope_text, audience, expires_at })
}

impl Prepared {
    /// The row to store.
    pub fn row(&self) -> crate::db::access_tokens::NewAccessToken<'_> {
        crate::db::access_tokens::NewAccessToken {
            id: self.id,
            secret_hash: self.minted.stored(),
            scope: &self.scope_text,
            audience: &self.audience,
            expires_at: self.expires_at,
        }
    }

    /// The answer, with an ID token where it speaks of somebody and `openid` was granted.
    pub fn respond(
        self,
        exchange: &Exchange<'_>,
        client: &Client,
        origin: &Origin<'_>,
        nonce: Option<&str>,
        refresh_token: Option<String>,
    ) -> Result<TokenResponse, Broken> {
        let access_token = self.minted.token.into_text();
        let id_token = match self.subject.as_deref() {
            Some(subject) if self.granted.contains(OPENID) => {
                let person = id_token_claims(client, origin, &self.granted)?;
                Some(exchange.mint.id_token(
                    client.signing_algorithm(),
                    &IdTokenFacts {
                        subject,
                        client_id: &client.id,
                        sid: origin.sid,
                        authentication: Authentication {
                            acr: origin.acr,
                            amr: origin.amr,
                            auth_time: origin.auth_time,
                        },
                        nonce,
                        person: &person,
                        access_token: &access_token,
                        issued_at: exchange.now,
                        expires_at: exchange.now + exchange.config.tokens.access,
                    },
                )?)
            }
            _ => None,
        };
        Ok(TokenResponse {
            access_token,
            token_type: "Bearer",
            expires_in: (self.expires_at - exchange.now).num_seconds(),
            scope: self.scope_text,
            refresh_token,
            id_token,
        })
    }
}

/// The claims about the person in the ID token: those that the `claims` parameter asked for there (OIDC Core §5.5), and those
/// of the scopes for a client that is registered so. Neither gives what the client may not ask for any more.
fn id_token_claims(client: &Client, origin: &Origin<'_>, granted: &Scope) -> Result<Map<String, Value>, Broken> {
    let requested = origin.claims.map(ClaimsRequest::deserialize).transpose().map_err(Broken::new)?;
    // Stored with the grant: the registration may be narrower by now.
    let requested = requested.unwrap_or_default().restricted_to(&registered(&client.metadata));
    let scope = if client.metadata.id_token_claims { granted } else { &Scope::default() };
    let person = claims::of_person(origin.username, origin.user_claims, origin.groups);
    Ok(claims::release(&person, scope, &requested.id_token))
}
