//! For APIs that accept Mooring's access tokens: ask the server about the token, every time.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, Responder, web};
//! use mooring::http::resource_server::{AccessToken, Refusal, ResourceServer};
//!
//! async fn hello(token: AccessToken) -> Result<impl Responder, Refusal> {
//!     token.require("hello:read")?;
//!     Ok(format!("hello, {}", token.subject.as_deref().unwrap_or("machine")))
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let http = reqwest::Client::new();
//! let server = ResourceServer::discover(http, "https://id.example", "api", "its client secret").await?;
//! let server = web::Data::new(server.expecting_audience("https://api.example"));
//! HttpServer::new(move || App::new().app_data(server.clone()).route("/hello", web::get().to(hello)))
//!     .bind("127.0.0.1:9000")?
//!     .run()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! It rests on discovery (RFC 8414) and introspection (RFC 7662) alone and on nothing else of this crate. Invariant:
//! nothing is remembered between two requests, so a token is refused at the first request after its session ended.

mod bearer;
mod refusal;

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use refusal::Refusal;

/// A client of the server that may introspect the tokens meant for it.
#[derive(Clone)]
pub struct ResourceServer {
    http: reqwest::Client,
    issuer: String,
    introspection_endpoint: String,
    client_id: String,
    client_secret: String,
    audience: Option<String>,
}

/// A live access token, as the authorization server described it at this moment.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// Absent: a machine client acts for itself.
    pub subject: Option<String>,
    pub client_id: Option<String>,
    /// The session that the token hangs on, by the name that its client knows it by.
    pub sid: Option<String>,
    pub scope: Vec<String>,
    /// The whole answer (RFC 7662 §2.2).
    pub claims: Map<String, Value>,
}

/// The authorization server could not be asked, or did not answer as it should; for the log.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

impl From<reqwest::Error> for Unavailable {
    fn from(error: reqwest::Error) -> Self {
        Self(format!("the authorization server could not be asked: {error}"))
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    introspection_endpoint: String,
}

impl ResourceServer {
    /// Reads the endpoint from the server's metadata. `http` is the caller's, with its proxies and authorities; it
    /// should have a timeout, because every request to the API waits for it.
    pub async fn discover(
        http: reqwest::Client,
        issuer: &str,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, Unavailable> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = http.get(address).send().await?.error_for_status()?.json().await?;
        // RFC 8414 §3.3: another issuer's document must not be used.
        if metadata.issuer != issuer {
            return Err(Unavailable(format!("{issuer} calls itself {}", metadata.issuer)));
        }
        Ok(Self {
            http,
            issuer: metadata.issuer,
            introspection_endpoint: metadata.introspection_endpoint,
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            audience: None,
        })
    }

    /// Accepts only tokens that were issued for this resource (RFC 8707), and not those for another one.
    #[must_use]
    pub fn expecting_audience(mut self, identifier: &str) -> Self {
        self.audience = Some(identifier.to_owned());
        self
    }

    /// Whether the token is live, and what it is good for. `None`: expired, revoked, of an ended session, unknown, or
    /// not for this API; which of them is nobody's business here.
    pub async fn validate(&self, token: &str) -> Result<Option<AccessToken>, Unavailable> {
        let answer = self
            .http
            .post(&self.introspection_endpoint)
            // RFC 6749 §2.3.1: both are form-encoded before they are joined.
            .basic_auth(form_encoded(&self.client_id), Some(form_encoded(&self.client_secret)))
            .form(&[("token", token), ("token_type_hint", "access_token")])
            .send()
            .await?
            .error_for_status()?;
        Ok(self.accept(&answer.json().await?))
    }

    fn accept(&self, claims: &Map<String, Value>) -> Option<AccessToken> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let active = claims.get("active") == Some(&Value::Bool(true));
        // A refresh token is active too, and opens nothing here.
        let bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
        let ours = text("iss").is_none_or(|issuer| issuer == self.issuer);
        let meant = self.audience.as_ref().is_none_or(|own| match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(|one| one == own.as_str()),
            Some(one) => one == own.as_str(),
            None => false,
        });
        (active && bearer && ours && meant).then(|| AccessToken {
            subject: text("sub").map(ToOwned::to_owned),
            client_id: text("client_id").map(ToOwned::to_owned),
            sid: text("sid").map(ToOwned::to_owned),
            scope: text("scope").unwrap_or_default().split_whitespace().map(ToOwned::to_owned).collect(),
            claims: claims.clone(),
        })
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl AccessToken {
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scope.iter().any(|granted| granted == scope)
    }

    /// Refuses with 403 `insufficient_scope` unless the scope was granted.
    pub fn require(&self, scope: &str) -> Result<(), Refusal> {
        if self.has(scope) { Ok(()) } else { Err(Refusal::InsufficientScope(scope.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server() -> ResourceServer {
        ResourceServer {
            http: reqwest::Client::new(),
            issuer: "https://id.example".into(),
            introspection_endpoint: String::new(),
            client_id: String::new(),
            client_secret: String::new(),
            audience: None,
        }
    }

    fn accepted(server: &ResourceServer, answer: &Value) -> Option<AccessToken> {
        server.accept(answer.as_object().unwrap())
    }

    #[test]
    fn a_live_access_token_is_accepted() {
        let answer = json!({
            "active": true, "token_type": "Bearer", "iss": "https://id.example", "sub": "alice", "client_id": "rp",
            "sid": "s", "scope": "openid hello:read",
        });
        let token = accepted(&server(), &answer).unwrap();
        assert_eq!((token.subject.as_deref(), token.sid.as_deref()), (Some("alice"), Some("s")));
        assert!(token.require("hello:read").is_ok() && token.require("hello").is_err());
    }

    #[test]
    fn whatever_is_not_one_is_not() {
        for answer in [
            json!({}),
            json!({ "active": false }),
            json!({ "active": "true", "token_type": "Bearer" }),
            json!({ "active": true }),
            json!({ "active": true, "token_type": "refresh_token" }),
            json!({ "active": true, "token_type": "DPoP" }),
            json!({ "active": true, "token_type": "Bearer", "iss": "https://other.example" }),
        ] {
            assert!(accepted(&server(), &answer).is_none(), "{answer}");
        }
    }

    #[test]
    fn the_audience_is_checked_where_it_is_expected() {
        let server = server().expecting_audience("https://api.example");
        let with = |aud: Value| json!({ "active": true, "token_type": "Bearer", "aud": aud });
        assert!(accepted(&server, &with(json!("https://api.example"))).is_some());
        assert!(accepted(&server, &with(json!(["https://x.example", "https://api.example"]))).is_some());
        assert!(accepted(&server, &with(json!("https://api.example/"))).is_none());
        assert!(accepted(&server, &with(json!([]))).is_none());
        assert!(accepted(&server, &json!({ "active": true, "token_type": "Bearer" })).is_none());
    }
}
