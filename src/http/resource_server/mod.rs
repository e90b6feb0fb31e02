//! For APIs that accept Mooring's access tokens: an extractor and a middleware that ask the server about each token, or
//! verify it with the server's keys, and challenge the client for what is missing.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, Responder, web};
//! use mooring::http::resource_server::{AccessToken, Protect, Refusal, Requirement, ResourceServer, Work};
//!
//! /// A passkey, shown in the last five minutes.
//! const PAYMENT: Requirement = Requirement::scope("payments:write").acr("phr").max_age(300);
//!
//! async fn hello(token: AccessToken) -> Result<impl Responder, Refusal> {
//!     token.require("hello:read")?;
//!     Ok(format!("hello, {}", token.subject.as_deref().unwrap_or("machine")))
//! }
//!
//! /// Only what [`PAYMENT`] lets through comes here.
//! async fn pay(token: AccessToken, server: web::Data<ResourceServer>) -> Result<impl Responder, Refusal> {
//!     let work = Work { action: "payment.create", object: Some("payment/42"), ..Work::default() };
//!     server.report(&token, &work).await?;
//!     Ok("paid")
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let http = reqwest::Client::new();
//! let server = ResourceServer::discover(http, "https://id.example", "api", "its client secret").await?;
//! let server = web::Data::new(server.expecting_audience("https://api.example"));
//! HttpServer::new(move || {
//!     App::new()
//!         .app_data(server.clone())
//!         .route("/hello", web::get().to(hello))
//!         .service(web::resource("/payments").wrap(Protect(PAYMENT)).route(web::post().to(pay)))
//! })
//! .bind("127.0.0.1:9000")?
//! .run()
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! | request | answer |
//! |---|---|
//! | without a token | 401, `WWW-Authenticate: Bearer` |
//! | with a token that is dead, unknown or meant for others | 401 `invalid_token` (RFC 6750 §3.1) |
//! | whose person is not authenticated strongly or recently enough | 401 `insufficient_user_authentication` with `acr_values`, `max_age` and, where it lacks it, `scope` (RFC 9470 §3) |
//! | that lacks a scope | 403 `insufficient_scope` with `scope` |
//! | that nobody can judge at the moment | 503 |
//!
//! An API declares a `[[resource]]` of its own at the server, with the scopes that mean something there, and expects its
//! `identifier` ([`ResourceServer::expecting_audience`]). The tokens of a grant with `openid` name the issuer beside their API, so
//! an API that expects the issuer would take what another API was given; here such a token is refused. APIs that share the
//! issuer as their audience can still use each other's tokens: a scope has to tell them apart, and one that is not standard.
//!
//! It rests on discovery (RFC 8414), introspection (RFC 7662), JWT access tokens (RFC 9068) and Mooring's reports, and of this
//! crate on `jose` and `clock` alone. Which way to validate is the API's to choose: what is introspected
//! ([`ResourceServer::discover`]) is refused at the first request after its session ended or was locked, and nothing is
//! remembered between two requests; what is verified with the keys ([`ResourceServer::with_keys`]) costs no request, and is
//! accepted until it expires. Privileged work should be introspected: that is what keeps its session from going idle, too.

mod audience;
mod bearer;
mod keys;
mod protect;
mod refusal;
mod report;
mod requirement;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use protect::{Protect, Protected};
pub use refusal::Refusal;
pub use report::Work;
pub use requirement::Requirement;

use self::keys::Keys;
use crate::clock::Clock;

/// An API that accepts the tokens of one server.
#[derive(Clone)]
pub struct ResourceServer {
    http: reqwest::Client,
    issuer: String,
    way: Way,
    /// Of a client of the server that may introspect the tokens meant for this API.
    credentials: Option<Credentials>,
    audience: Option<String>,
    clock: Clock,
}

/// How tokens are validated.
#[derive(Clone)]
enum Way {
    /// By asking here.
    Introspection(String),
    Keys(Arc<Keys>),
}

#[derive(Clone)]
struct Credentials {
    client_id: String,
    client_secret: String,
}

impl Credentials {
    fn new(client_id: &str, client_secret: &str) -> Self {
        Self { client_id: client_id.to_owned(), client_secret: client_secret.to_owned() }
    }

    fn authenticate(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        request.basic_auth(encoded(&self.client_id), Some(encoded(&self.client_secret)))
    }
}

/// The token as it came: to report of it, and never to be shown.
#[derive(Clone, Default)]
struct Presented(String);

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A live access token, as the authorization server described it.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The person, as the client knows them. Absent, or the client itself: a machine acts for itself.
    pub subject: Option<String>,
    pub client_id: Option<String>,
    /// The session that the token hangs on, by the name that its client knows it by.
    pub sid: Option<String>,
    pub scope: Vec<String>,
    /// How strongly the person was authenticated for it, …
    pub acr: Option<String>,
    /// … and when.
    pub auth_time: Option<DateTime<Utc>>,
    /// The instant at which it was validated.
    pub seen_at: DateTime<Utc>,
    /// All that is known of it (RFC 7662 §2.2, RFC 9068 §2.2).
    pub claims: Map<String, Value>,
    presented: Presented,
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
    introspection_endpoint: Option<String>,
    jwks_uri: Option<String>,
}

impl Metadata {
    async fn read(http: &reqwest::Client, issuer: &str) -> Result<Self, Unavailable> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Self = http.get(address).send().await?.error_for_status()?.json().await?;
        // RFC 8414 §3.3: another issuer's document must not be used.
        if metadata.issuer != issuer {
            return Err(Unavailable(format!("{issuer} calls itself {}", metadata.issuer)));
        }
        Ok(metadata)
    }
}

impl ResourceServer {
    /// Asks the server about every token, as a client of it: the one that the resource names (`[[resource]] client`). Reads the endpoint from the server's metadata. `http` is the
    /// caller's, with its proxies and authorities; it should have a timeout, because every request to the API waits for it.
    pub async fn discover(
        http: reqwest::Client,
        issuer: &str,
        client_id: &str,
        client_secret: &str,
    ) -> Result<Self, Unavailable> {
        let metadata = Metadata::read(&http, issuer).await?;
        let absent = || Unavailable(format!("{issuer} has no introspection_endpoint"));
        let way = Way::Introspection(metadata.introspection_endpoint.ok_or_else(absent)?);
        let credentials = Some(Credentials::new(client_id, client_secret));
        Ok(Self { http, issuer: metadata.issuer, way, credentials, audience: None, clock: Clock::default() })
    }

    /// Verifies tokens that are JWTs with the server's keys, without asking about them. `audience` is the `identifier` of the
    /// `[[resource]]` that this API is (RFC 8707): tokens for any other are refused. Where it is the issuer, so are tokens that
    /// name another API beside it.
    pub async fn with_keys(http: reqwest::Client, issuer: &str, audience: &str) -> Result<Self, Unavailable> {
        let metadata = Metadata::read(&http, issuer).await?;
        let absent = || Unavailable(format!("{issuer} has no jwks_uri"));
        let way = Way::Keys(Arc::new(Keys::new(http.clone(), metadata.jwks_uri.ok_or_else(absent)?)));
        let (issuer, audience) = (metadata.issuer, Some(audience.to_owned()));
        Ok(Self { http, issuer, way, credentials: None, audience, clock: Clock::default() })
    }

    /// Accepts only tokens that were issued for this resource (RFC 8707), and not those for another one: `identifier` is that of
    /// the API's own `[[resource]]`. A token that its client may show to userinfo, too, names the server beside the resource;
    /// an API that expects the server itself is given none that names another resource.
    #[must_use]
    pub fn expecting_audience(mut self, identifier: &str) -> Self {
        self.audience = Some(identifier.to_owned());
        self
    }

    /// As which client [`report`](Self::report) speaks, where tokens are verified with the keys.
    #[must_use]
    pub fn reporting_as(mut self, client_id: &str, client_secret: &str) -> Self {
        self.credentials = Some(Credentials::new(client_id, client_secret));
        self
    }

    /// Another clock than the system's: for tests.
    #[must_use]
    pub fn at(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether the token is live, and what it is good for. `None`: expired, revoked, of an ended session, unknown, or
    /// not for this API; which of them is nobody's business here.
    pub async fn validate(&self, token: &str) -> Result<Option<AccessToken>, Unavailable> {
        let now = self.clock.now();
        let described = match &self.way {
            Way::Introspection(endpoint) => self.introspect(endpoint, token, now).await?,
            Way::Keys(keys) => {
                let audience = self.audience.as_deref().unwrap_or_default();
                keys.verify(token, &self.issuer, audience, now).await?.map(|claims| AccessToken::of(claims, now))
            }
        };
        Ok(described.map(|described| AccessToken { presented: Presented(token.to_owned()), ..described }))
    }

    async fn introspect(
        &self,
        endpoint: &str,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<AccessToken>, Unavailable> {
        let request = self.http.post(endpoint).form(&[("token", token), ("token_type_hint", "access_token")]);
        let request = match &self.credentials {
            Some(credentials) => credentials.authenticate(request),
            None => request,
        };
        Ok(self.accept(request.send().await?.error_for_status()?.json().await?, now))
    }

    fn accept(&self, claims: Map<String, Value>, now: DateTime<Utc>) -> Option<AccessToken> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let active = claims.get("active") == Some(&Value::Bool(true));
        // A refresh token is active too, and opens nothing here.
        let bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
        let ours = text("iss").is_none_or(|issuer| issuer == self.issuer);
        let meant = self.audience.as_ref().is_none_or(|own| audience::is_meant(claims.get("aud"), own, &self.issuer));
        (active && bearer && ours && meant).then(|| AccessToken::of(claims, now))
    }
}

impl AccessToken {
    fn of(claims: Map<String, Value>, now: DateTime<Utc>) -> Self {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let scope = text("scope").unwrap_or_default();
        let auth_time = claims.get("auth_time").and_then(Value::as_i64);
        Self {
            subject: text("sub"),
            client_id: text("client_id"),
            sid: text("sid"),
            scope: scope.split_whitespace().map(ToOwned::to_owned).collect(),
            acr: text("acr"),
            auth_time: auth_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
            seen_at: now,
            presented: Presented::default(),
            claims,
        }
    }

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
            way: Way::Introspection(String::new()),
            credentials: None,
            audience: None,
            clock: Clock::default(),
        }
    }

    fn accepted(server: &ResourceServer, answer: &Value) -> Option<AccessToken> {
        server.accept(answer.as_object().unwrap().clone(), server.clock.now())
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
        // A token that opens userinfo, too.
        assert!(accepted(&server, &with(json!(["https://api.example", "https://id.example"]))).is_some());
        assert!(accepted(&server, &with(json!("https://api.example/"))).is_some(), "an empty path is the root");
        assert!(accepted(&server, &with(json!("https://api.example/v1"))).is_none());
        assert!(accepted(&server, &with(json!(["https://id.example"]))).is_none());
        assert!(accepted(&server, &with(json!([]))).is_none());
        assert!(accepted(&server, &json!({ "active": true, "token_type": "Bearer" })).is_none());
    }

    /// What another API was given is not for one that expects the issuer.
    #[test]
    fn the_issuer_as_audience_stands_alone() {
        let server = server().expecting_audience("https://id.example/");
        let with = |aud: Value| json!({ "active": true, "token_type": "Bearer", "aud": aud });
        assert!(accepted(&server, &with(json!("https://id.example"))).is_some());
        assert!(accepted(&server, &with(json!(["https://id.example"]))).is_some());
        assert!(accepted(&server, &with(json!(["https://api.example", "https://id.example"]))).is_none());
        assert!(accepted(&server, &with(json!([]))).is_none());
    }
}
