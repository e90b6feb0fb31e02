//! Client assertions: `private_key_jwt` (RFC 7523 §2.2 and §3, OIDC Core §9).
//!
//! What is decided here follows from the assertion, the client's keys and the instant. That a `jti` is used once is
//! the caller's: it needs a place to remember.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{SKEW_SECONDS, jws::Unverified, times::check_times};
use crate::oauth::{Error, client_metadata::CLIENT_SIGNATURES};

/// The value of `client_assertion_type` (RFC 7523 §2.2).
pub const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far ahead `exp` may be: many libraries say an hour. A longer life would make the memory of used `jti`s grow.
pub const MAX_ASSERTION_LIFETIME_SECONDS: i64 = 3600;

const MAX_JTI_LENGTH: usize = 256;

/// A verified assertion. Whoever accepts it must see to it that `jti` is used once for as long as it could be accepted: its
/// `exp` is up to [`SKEW_SECONDS`] in the past, and up to [`MAX_ASSERTION_LIFETIME_SECONDS`] plus the skew ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub client_id: String,
    pub jti: String,
}

/// Whose assertion it claims to be, unverified: to find the client whose keys verify it.
pub fn peek_issuer(assertion: &str) -> Option<String> {
    let assertion = Unverified::parse(assertion)?;
    let issuer = assertion.claims.get("iss")?.as_str()?;
    let same = assertion.claims.get("sub")?.as_str()? == issuer;
    // What no database keeps names no client.
    (same && !issuer.is_empty() && !issuer.contains(char::is_control)).then(|| issuer.to_owned())
}

/// Whether the JWK Set has a key that the assertion may have been signed with. If not, a set fetched from a
/// `jwks_uri` may be older than the client's newest key and is worth fetching again.
pub fn names_known_key(assertion: &str, jwks: &Value) -> bool {
    Unverified::parse(assertion).is_some_and(|assertion| {
        algorithm_of(&assertion).is_some_and(|algorithm| assertion.candidates(algorithm, jwks).next().is_some())
    })
}

/// Verifies an assertion by the client's keys. `jwks` is a JWK Set (`{"keys": […]}`); `allowed_alg` is the client's
/// registered `token_endpoint_auth_signing_alg`.
///
/// What is wrong with the claims is told only to who holds the key.
pub fn verify_assertion(
    assertion: &str,
    jwks: &Value,
    accepted_audiences: &[&str],
    allowed_alg: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Assertion, Error> {
    let assertion = Unverified::parse(assertion).ok_or_else(|| refused("the client assertion is not a signed JWT"))?;
    let alg = assertion.header("alg").unwrap_or_default();
    let algorithm = algorithm_of(&assertion).ok_or_else(|| {
        let mend = format!("have the client sign with one of {}", CLIENT_SIGNATURES.join(", "));
        refused("the client assertion's alg is not accepted").mend(mend).sent("alg", alg)
    })?;
    if let Some(allowed) = allowed_alg.filter(|allowed| alg != *allowed) {
        let mend = format!("have the client sign with {allowed}, or change its token_endpoint_auth_signing_alg");
        let error = refused("the client assertion's alg is not the one registered for this client");
        return Err(error.mend(mend).sent("alg", alg));
    }
    // RFC 7515 §4.1.11: an extension that is not understood must be refused, and we understand none.
    if assertion.header.contains_key("crit") {
        let error = refused("the client assertion has a crit header, which is not supported");
        return Err(error.mend("have the client leave crit out"));
    }
    // RFC 8725 §3.12: what was signed as a DPoP proof, a request object or a logout token is no assertion, even if its
    // claims would pass. Assertions never had to be typed.
    if assertion.is_of_another_kind("client-authentication+jwt") {
        let error = refused("the client assertion's typ is that of another kind of JWT");
        let mend = "have the client set typ to client-authentication+jwt or JWT, or leave it out";
        return Err(error.mend(mend).sent("typ", assertion.header("typ").unwrap_or_default()));
    }
    assertion.verify(algorithm, jwks).map_err(|detail| {
        let mend = format!(
            "{detail}: compare kid, kty, alg and use in the client's jwks or at its jwks_uri with the key that signs (alg {alg})"
        );
        let error = refused("the client assertion is not signed by a key of this client").detail(detail).mend(mend);
        error.sent("kid", assertion.header("kid").unwrap_or("none"))
    })?;
    check_claims(&assertion, accepted_audiences, now)
}

fn check_claims(assertion: &Unverified, accepted_audiences: &[&str], now: DateTime<Utc>) -> Result<Assertion, Error> {
    let claims = &assertion.claims;
    let text = |name| claims.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());

    // RFC 7523 §3 (1) and (2.B): for client authentication both are the client_id.
    let client_id = text("iss").filter(|issuer| text("sub") == Some(issuer));
    let client_id = client_id.ok_or_else(|| refused("iss and sub of the client assertion must be the client_id"))?;

    check_audience(claims, accepted_audiences).map_err(|error| with_sent(error, "aud", claims))?;
    check_life(claims, now).map_err(|error| {
        let now = now.timestamp();
        let mend = format!(
            "have the client make an assertion for each request, good for a minute; here it is {now}: compare its clock"
        );
        with_sent(error.mend(mend), "exp", claims)
    })?;

    // RFC 7523 §3 (7) leaves jti to us; without it a replay could not be recognised.
    let jti = text("jti").filter(|jti| jti.chars().count() <= MAX_JTI_LENGTH);
    let jti = jti.ok_or_else(|| {
        let mend = "have the client add a jti that is another one for each request";
        refused("the client assertion needs a jti of 1 to 256 characters").mend(mend)
    })?;
    Ok(Assertion { client_id: client_id.to_owned(), jti: jti.to_owned() })
}

/// RFC 7523 §3 (3), draft-ietf-oauth-rfc7523bis §4: one audience, ours; RFC 7519 §4.1.3 writes one as a string or an array.
/// An assertion for several audiences, or for one that another server talked the client into, can be replayed here by
/// that server (audience injection).
fn check_audience(claims: &Map<String, Value>, accepted: &[&str]) -> Result<(), Error> {
    let audience = match claims.get("aud") {
        Some(Value::Array(several)) => match several.as_slice() {
            [one] => one.as_str(),
            _ => return Err(refused("aud of the client assertion must name one audience alone")),
        },
        one => one.and_then(Value::as_str),
    };
    if audience.is_some_and(|audience| accepted.contains(&audience)) {
        return Ok(());
    }
    Err(refused(format!("aud of the client assertion must be {}", accepted.join(" or "))))
}

/// RFC 7523 §3 (4) to (6): exp is required.
fn check_life(claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<(), Error> {
    let expires = check_times(claims, now).map_err(|why| refused(why.said_of("the client assertion")))?;
    let expires = expires.ok_or_else(|| refused("the client assertion has no exp"))?;
    if expires > now.timestamp() + MAX_ASSERTION_LIFETIME_SECONDS + SKEW_SECONDS {
        return Err(refused("exp of the client assertion is more than 60 minutes ahead"));
    }
    Ok(())
}

/// With the claim that is refused, for the log.
fn with_sent(error: Error, name: &'static str, claims: &Map<String, Value>) -> Error {
    error.sent(name, &claims.get(name).map_or_else(|| "none".to_owned(), Value::to_string))
}

fn algorithm_of(assertion: &Unverified) -> Option<Algorithm> {
    let name = assertion.header("alg")?;
    CLIENT_SIGNATURES.contains(&name).then(|| name.parse().ok()).flatten()
}

fn refused(description: impl Into<Cow<'static, str>>) -> Error {
    Error::invalid_client(description)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{RSA_PSS_SHA256, RsaKeyPair},
    };
    use serde_json::json;

    use super::*;
    use crate::jose::{Algorithm as Own, SigningKey, base64url};

    const NOW: i64 = 1_800_000_000;
    const AUDIENCES: [&str; 2] = ["https://op.example", "https://op.example/oauth/token"];

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }

    fn key(algorithm: Own) -> SigningKey {
        SigningKey::generate(algorithm).unwrap().0
    }

    fn set(keys: &[&SigningKey]) -> Value {
        json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() })
    }

    fn claims() -> Value {
        json!({ "iss": "rp", "sub": "rp", "aud": AUDIENCES[0], "jti": "j1", "exp": NOW + 60, "iat": NOW })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn outcome(claims: &Value) -> Result<Assertion, Error> {
        let key = key(Own::EdDsa);
        verify_assertion(&key.sign("JWT", claims).unwrap(), &set(&[&key]), &AUDIENCES, None, now())
    }

    fn forged(header: &Value, signature: &str) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        format!("{}.{}.{signature}", part(header), part(&claims()))
    }

    #[test]
    fn a_good_assertion_names_the_client() {
        for algorithm in Own::ALL {
            let key = key(algorithm);
            let assertion = key.sign("JWT", &claims()).unwrap();
            assert_eq!(peek_issuer(&assertion).as_deref(), Some("rp"));
            let verified = verify_assertion(&assertion, &set(&[&key]), &AUDIENCES, Some(algorithm.as_str()), now());
            assert_eq!(verified, Ok(Assertion { client_id: "rp".into(), jti: "j1".into() }));
        }
    }

    #[test]
    fn the_audience_is_one_of_ours_alone() {
        for good in [json!(AUDIENCES[1]), json!([AUDIENCES[0]]), json!([AUDIENCES[1]])] {
            assert!(outcome(&with("aud", good.clone())).is_ok(), "{good}");
        }
        for other in [
            json!([]),
            json!([[AUDIENCES[0]]]),
            json!([AUDIENCES[0], AUDIENCES[0]]),
            json!([AUDIENCES[0], "https://evil.example"]),
            json!(["https://evil.example"]),
            json!("https://evil.example"),
            json!("https://op.example/"),
            json!(""),
            json!(null),
        ] {
            assert!(outcome(&with("aud", other.clone())).is_err(), "{other}");
        }
        assert!(outcome(&without("aud")).is_err());
    }

    #[test]
    fn issuer_and_subject_are_the_client() {
        for name in ["iss", "sub"] {
            assert!(outcome(&without(name)).is_err(), "{name}");
            assert!(outcome(&with(name, json!("other"))).is_err(), "{name}");
            assert!(outcome(&with(name, json!(["rp"]))).is_err(), "{name}");
        }
        let key = key(Own::EdDsa);
        assert_eq!(peek_issuer(&key.sign("JWT", &with("sub", json!("other"))).unwrap()), None);
        assert_eq!(peek_issuer(&key.sign("JWT", &json!({ "iss": "", "sub": "" })).unwrap()), None);
        assert_eq!(peek_issuer("nonsense"), None);
    }

    #[test]
    fn it_lives_at_most_an_hour() {
        for (exp, good) in [(3610, true), (3611, false), (0, true), (-9, true), (-10, false)] {
            assert_eq!(outcome(&with("exp", json!(NOW + exp))).is_ok(), good, "{exp}");
        }
        assert!(outcome(&without("exp")).is_err());
        for other in [json!("1800000060"), json!(null), json!(1e300), json!(i64::MAX), json!(i64::MIN), json!(-1.5)] {
            assert!(outcome(&with("exp", other.clone())).is_err(), "{other}");
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let fraction = NOW as f64 + 60.9;
        assert!(outcome(&with("exp", json!(fraction))).is_ok());
    }

    #[test]
    fn it_is_not_from_the_future() {
        for name in ["iat", "nbf"] {
            assert!(outcome(&with(name, json!(NOW + 10))).is_ok());
            assert!(outcome(&with(name, json!(NOW + 11))).is_err());
            assert!(outcome(&with(name, json!("soon"))).is_err());
        }
        assert!(outcome(&without("iat")).is_ok());
    }

    #[test]
    fn it_has_a_jti() {
        assert!(outcome(&with("jti", json!("x".repeat(256)))).is_ok());
        for other in [json!("x".repeat(257)), json!(""), json!(7), json!(null)] {
            assert!(outcome(&with("jti", other.clone())).is_err(), "{other}");
        }
        assert!(outcome(&without("jti")).is_err());
    }

    #[test]
    fn only_the_registered_algorithm_and_asymmetric_ones() {
        let key = key(Own::Es256);
        let assertion = key.sign("JWT", &claims()).unwrap();
        assert!(verify_assertion(&assertion, &set(&[&key]), &AUDIENCES, Some("RS256"), now()).is_err());
        for alg in ["none", "HS256", "HS512", "ES256K", ""] {
            let jwks = json!({ "keys": [{ "kty": "oct", "k": "AAAA" }, key.public_jwk()] });
            let forged = forged(&json!({ "alg": alg }), "");
            assert!(verify_assertion(&forged, &jwks, &AUDIENCES, None, now()).is_err(), "{alg}");
        }
    }

    #[test]
    fn extensions_and_other_kinds_of_jwt_are_refused() {
        let key = key(Own::EdDsa);
        for (typ, good) in [
            ("JWT", true),
            ("client-authentication+jwt", true),
            ("application/client-authentication+jwt", true),
            ("dpop+jwt", false),
            ("application/oauth-authz-req+jwt", false),
            ("at+JWT", false),
        ] {
            let assertion = key.sign(typ, &claims()).unwrap();
            assert_eq!(verify_assertion(&assertion, &set(&[&key]), &AUDIENCES, None, now()).is_ok(), good, "{typ}");
        }
        let critical = forged(&json!({ "alg": "EdDSA", "crit": ["exp"] }), "");
        let error = verify_assertion(&critical, &set(&[&key]), &AUDIENCES, None, now()).unwrap_err();
        assert!(error.description.contains("crit"), "{}", error.description);
    }

    #[test]
    fn the_key_is_that_of_the_kid() {
        let (mine, other) = (key(Own::Es256), key(Own::Es256));
        let assertion = mine.sign("JWT", &claims()).unwrap();
        assert!(verify_assertion(&assertion, &set(&[&other, &mine]), &AUDIENCES, None, now()).is_ok());
        assert!(names_known_key(&assertion, &set(&[&mine])));
        assert!(!names_known_key(&assertion, &set(&[&other])));
        // Another key under the right name.
        let mut renamed = set(&[&other]);
        renamed["keys"][0]["kid"] = json!(mine.kid());
        let error = verify_assertion(&assertion, &renamed, &AUDIENCES, None, now()).unwrap_err();
        assert_eq!(error.detail.as_deref(), Some("wrong signature"));
        // A key for encryption.
        let mut encryption = set(&[&mine]);
        encryption["keys"][0]["use"] = json!("enc");
        assert!(verify_assertion(&assertion, &encryption, &AUDIENCES, None, now()).is_err());
        for none in [json!(null), json!({}), json!({ "keys": {} }), json!({ "keys": [7, null, {}] }), json!([])] {
            assert!(verify_assertion(&assertion, &none, &AUDIENCES, None, now()).is_err(), "{none}");
        }
    }

    /// What a client with an RSA-PSS key sends that gives its key no name: the keys of its kind are tried.
    #[test]
    fn without_a_kid_compatible_keys_are_tried_but_not_endlessly() {
        let (public, pkcs8) = SigningKey::generate(Own::Rs256).unwrap();
        let pair = RsaKeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let unsigned = forged(&json!({ "alg": "PS256" }), "");
        let message = unsigned.trim_end_matches('.');
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        let assertion = format!("{message}.{}", base64url(&signature));

        let bare = json!({ "kty": "RSA", "n": public.public_jwk()["n"], "e": public.public_jwk()["e"] });
        let stranger = json!({ "kty": "RSA", "n": base64url(&[0xff; 256]), "e": "AQAB" });
        let outcome = |strangers: usize| {
            let mut keys = vec![stranger.clone(); strangers];
            keys.push(bare.clone());
            verify_assertion(&assertion, &json!({ "keys": keys }), &AUDIENCES, None, now())
        };
        assert!(outcome(0).is_ok());
        assert!(outcome(3).is_ok());
        assert!(outcome(4).is_err());
        // The same key, registered for another algorithm.
        let jwks = set(&[&public]);
        assert!(verify_assertion(&assertion, &jwks, &AUDIENCES, None, now()).is_err());
    }

    #[test]
    fn the_claims_are_not_discussed_with_who_lacks_the_key() {
        let (mine, other) = (key(Own::EdDsa), key(Own::EdDsa));
        let assertion = other.sign("JWT", &json!({})).unwrap();
        let error = verify_assertion(&assertion, &set(&[&mine]), &AUDIENCES, None, now()).unwrap_err();
        assert_eq!(error.description, "the client assertion is not signed by a key of this client");
    }
}
