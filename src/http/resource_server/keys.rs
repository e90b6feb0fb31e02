//! Access tokens that are JWTs (RFC 9068), verified here with the server's published keys.
//!
//! The keys are kept for as long as the server says (`max-age`), and fetched again when a token names one that is not among
//! them. What is verified here is not asked about: a token of an ended session is accepted until it expires.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, RwLock};

use super::{Unavailable, audience};
use crate::jose::{names_known_key, verify_own};

/// RFC 9068 §2.1.
const TYPE: &str = "at+jwt";
/// How far two clocks may disagree (RFC 7519 §4.1.4).
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// How long keys are kept where nothing is said.
const USUAL: TimeDelta = TimeDelta::minutes(5);
const SHORTEST: TimeDelta = TimeDelta::seconds(10);
const LONGEST: TimeDelta = TimeDelta::days(1);
/// How soon they are fetched again for the sake of an unknown key: tokens are not a way to make us call somebody often.
const PAUSE: TimeDelta = TimeDelta::seconds(30);
/// How long keys that cannot be fetched again are used after their time: an outage there is none here, but not for ever,
/// for a key may have been withdrawn.
const GRACE: TimeDelta = TimeDelta::hours(1);

/// The keys of one server.
pub(super) struct Keys {
    http: reqwest::Client,
    uri: String,
    kept: RwLock<Option<Kept>>,
    /// Held by whoever fetches: the others wait for it, and do not fetch as well.
    fetching: Mutex<()>,
}

#[derive(Clone)]
struct Kept {
    jwks: Arc<Value>,
    /// When it was last tried to fetch them.
    tried_at: DateTime<Utc>,
    good_until: DateTime<Utc>,
}

impl Kept {
    fn is_good_for(&self, token: &str, now: DateTime<Utc>) -> bool {
        let tried = now - self.tried_at < PAUSE;
        (now < self.good_until && (tried || names_known_key(token, &self.jwks)))
            || (tried && now < self.good_until + GRACE)
    }
}

impl Keys {
    pub fn new(http: reqwest::Client, uri: String) -> Self {
        Self { http, uri, kept: RwLock::default(), fetching: Mutex::default() }
    }

    /// The claims of a live token of `issuer` for `audience` (RFC 9068 §4); of any other none.
    pub async fn verify(
        &self,
        token: &str,
        issuer: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Map<String, Value>>, Unavailable> {
        // An opaque token is no reason to fetch anything.
        if token.split('.').count() != 3 {
            return Ok(None);
        }
        let jwks = self.good_for(token, now).await?;
        let keys = jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(verify_own(token, keys, Some(TYPE)).filter(|claims| is_meant(claims, issuer, audience, now)))
    }

    async fn good_for(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<Value>, Unavailable> {
        let good = async || self.kept.read().await.clone().filter(|kept| kept.is_good_for(token, now));
        if let Some(kept) = good().await {
            return Ok(kept.jwks);
        }
        let _fetching = self.fetching.lock().await;
        if let Some(kept) = good().await {
            return Ok(kept.jwks);
        }
        let before = self.kept.read().await.clone();
        let kept = match (self.fetch(now).await, before) {
            (Ok(fetched), _) => fetched,
            (Err(unavailable), Some(before)) if now < before.good_until + GRACE => {
                tracing::warn!(%unavailable, "the server's keys could not be fetched again; the ones of before are used");
                Kept { tried_at: now, ..before }
            }
            (Err(unavailable), _) => return Err(unavailable),
        };
        Ok(self.kept.write().await.insert(kept).jwks.clone())
    }

    async fn fetch(&self, now: DateTime<Utc>) -> Result<Kept, Unavailable> {
        let answer = self.http.get(&self.uri).send().await?.error_for_status()?;
        let said = answer.headers().get(reqwest::header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let good_for = said.and_then(max_age).unwrap_or(USUAL).clamp(SHORTEST, LONGEST);
        Ok(Kept { jwks: Arc::new(answer.json().await?), tried_at: now, good_until: now + good_for })
    }
}

/// RFC 9111 §5.2.2.1.
fn max_age(cache_control: &str) -> Option<TimeDelta> {
    let directives = || cache_control.split(',').map(str::trim);
    if directives().any(|it| it.eq_ignore_ascii_case("no-store") || it.eq_ignore_ascii_case("no-cache")) {
        return Some(TimeDelta::zero());
    }
    let seconds = directives().find_map(|it| {
        let (name, value) = it.split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| value.trim_matches('"').parse::<u32>().ok())?
    })?;
    Some(TimeDelta::seconds(i64::from(seconds)))
}

/// RFC 9068 §4, but for the signature.
fn is_meant(claims: &Map<String, Value>, issuer: &str, audience: &str, now: DateTime<Utc>) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "an instant in seconds is far below 2^52")]
    let (early, late) = ((now - LEEWAY).timestamp() as f64, (now + LEEWAY).timestamp() as f64);
    // §2.2: what has to be there.
    let whole = ["sub", "client_id", "jti"].iter().all(|name| text(name).is_some());
    text("iss") == Some(issuer)
        && audience::is_meant(claims.get("aud"), audience, issuer)
        && whole
        && seconds("exp").is_some_and(|at| at > early)
        && claims.get("nbf").is_none_or(|_| seconds("nbf").is_some_and(|at| at <= late))
        && seconds("iat").is_some_and(|at| at <= late)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;
    use crate::{
        clock::Clock,
        jose::{Algorithm, SigningKey},
    };

    const ISSUER: &str = "https://id.example";
    const API: &str = "https://api.example";

    fn key() -> SigningKey {
        SigningKey::generate(Algorithm::Es256).unwrap().0
    }

    async fn publish(server: &MockServer, keys: &[&SigningKey], cache_control: &str) {
        server.reset().await;
        let keys: Vec<_> = keys.iter().map(|key| key.public_jwk().clone()).collect();
        let answer = ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }));
        Mock::given(any()).respond_with(answer.insert_header("cache-control", cache_control)).mount(server).await;
    }

    fn claims(now: DateTime<Utc>) -> Value {
        json!({ "iss": ISSUER, "aud": API, "sub": "alice", "client_id": "rp", "jti": "1", "iat": now.timestamp(),
                "exp": (now + TimeDelta::minutes(5)).timestamp() })
    }

    #[tokio::test]
    async fn only_what_is_meant_for_here_and_alive_passes() {
        let (server, key, now) = (MockServer::start().await, key(), Clock::default().now());
        publish(&server, &[&key], "max-age=300").await;
        let keys = Keys::new(reqwest::Client::new(), server.uri());
        let passes = async |typ: &str, changes: Value| {
            let mut claims = claims(now);
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            keys.verify(&key.sign(typ, &claims).unwrap(), ISSUER, API, now).await.unwrap().is_some()
        };
        let at = |seconds: i64| (now + TimeDelta::seconds(seconds)).timestamp();
        for changes in [
            json!({}),
            json!({ "aud": ["https://x.example", API] }),
            json!({ "aud": [API, ISSUER] }),
            json!({ "aud": format!("{API}/") }),
            json!({ "exp": at(-20) }),
            json!({ "iat": at(20), "nbf": at(20) }),
        ] {
            assert!(passes("at+jwt", changes.clone()).await, "{changes}");
        }
        for changes in [
            json!({ "iss": "https://other.example" }),
            json!({ "iss": null }),
            json!({ "aud": "https://x.example" }),
            json!({ "aud": [ISSUER] }),
            json!({ "aud": format!("{API}//") }),
            json!({ "aud": [] }),
            json!({ "aud": null }),
            json!({ "exp": at(-40) }),
            json!({ "exp": null }),
            json!({ "exp": "never" }),
            json!({ "nbf": at(40) }),
            json!({ "iat": at(40) }),
            json!({ "sub": null }),
            json!({ "client_id": 1 }),
        ] {
            assert!(!passes("at+jwt", changes.clone()).await, "{changes}");
        }
        // RFC 9068 §4: an ID token is no access token.
        assert!(!passes("JWT", json!({})).await && !passes("logout+jwt", json!({})).await);
        for token in ["", "mo_at_x", "a.b.c", "a.b"] {
            assert!(keys.verify(token, ISSUER, API, now).await.unwrap().is_none(), "{token}");
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "the keys were kept");
    }

    /// What another API was given is not for one that expects the issuer.
    #[tokio::test]
    async fn the_issuer_as_audience_stands_alone() {
        let (server, key, now) = (MockServer::start().await, key(), Clock::default().now());
        publish(&server, &[&key], "max-age=300").await;
        let keys = Keys::new(reqwest::Client::new(), server.uri());
        for (aud, passes) in [
            (json!(ISSUER), true),
            (json!([ISSUER]), true),
            (json!([format!("{ISSUER}/"), ISSUER]), true),
            (json!([API, ISSUER]), false),
            (json!([ISSUER, API]), false),
            (json!([ISSUER, 1]), false),
            (json!(API), false),
            (json!([]), false),
        ] {
            let mut claims = claims(now);
            claims["aud"] = aud.clone();
            let token = key.sign("at+jwt", &claims).unwrap();
            assert_eq!(keys.verify(&token, ISSUER, ISSUER, now).await.unwrap().is_some(), passes, "{aud}");
        }
    }

    #[tokio::test]
    async fn a_new_key_is_fetched_and_strangers_make_nobody_fetch_often() {
        let (server, old, new, now) = (MockServer::start().await, key(), key(), Clock::default().now());
        publish(&server, &[&old], "public, max-age=3600").await;
        let keys = Keys::new(reqwest::Client::new(), server.uri());
        let signed = |key: &SigningKey| key.sign("at+jwt", &claims(now)).unwrap();
        let passes = async |key: &SigningKey, after: i64| {
            keys.verify(&signed(key), ISSUER, API, now + TimeDelta::seconds(after)).await.unwrap().is_some()
        };
        assert!(passes(&old, 0).await && !passes(&new, 1).await);
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
        publish(&server, &[&old, &new], "public, max-age=3600").await;
        assert!(!passes(&new, 29).await, "not so soon");
        assert!(passes(&new, 31).await && passes(&old, 32).await);
        let stranger = key();
        for _ in 0..5 {
            assert!(!passes(&stranger, 40).await);
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "once, for the new key");
    }

    #[tokio::test]
    async fn keys_are_kept_as_long_as_is_said_and_an_outage_is_borne_for_a_while() {
        let (server, key, now) = (MockServer::start().await, key(), Clock::default().now());
        publish(&server, &[&key], "max-age=60").await;
        let keys = Keys::new(reqwest::Client::new(), server.uri());
        let passes = async |after: TimeDelta| {
            let mut claims = claims(now);
            claims["exp"] = (now + TimeDelta::days(2)).timestamp().into();
            keys.verify(&key.sign("at+jwt", &claims).unwrap(), ISSUER, API, now + after).await.map(|it| it.is_some())
        };
        let fetched = async || server.received_requests().await.unwrap().len();
        assert!(passes(TimeDelta::zero()).await.unwrap() && passes(TimeDelta::seconds(59)).await.unwrap());
        assert_eq!(fetched().await, 1);
        assert!(passes(TimeDelta::seconds(61)).await.unwrap());
        assert_eq!(fetched().await, 2);
        server.reset().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(503)).mount(&server).await;
        assert!(passes(TimeDelta::minutes(30)).await.unwrap());
        assert!(passes(TimeDelta::minutes(63)).await.is_err(), "not for ever");
        // Withdrawn.
        publish(&server, &[], "no-store").await;
        assert!(!passes(TimeDelta::minutes(64)).await.unwrap());
    }

    #[test]
    fn how_long_is_read_as_it_is_written() {
        for (text, seconds) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-cache", Some(0)),
            ("max-age=60, no-store", Some(0)),
            ("public", None),
            ("max-age=-1", None),
            ("max-age=x", None),
        ] {
            assert_eq!(max_age(text), seconds.map(TimeDelta::seconds), "{text}");
        }
    }
}
