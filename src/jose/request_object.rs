//! Request objects (RFC 9101, OIDC Core §6): an authorization request as a JWT of the client's.
//!
//! What is decided here follows from the object, the client's keys and registration, and the instant. Which of its
//! members are parameters, and where an error may be told, is the caller's.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{jws::Unverified, times::check_times};
use crate::oauth::{Error, ErrorCode, client_metadata::CLIENT_SIGNATURES};

/// RFC 9101 §10.8.1.
const OWN_TYPE: &str = "oauth-authz-req+jwt";

/// A request object that nobody has verified yet.
pub struct RequestObject<'a>(Unverified<'a>);

/// What a request object has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub client_id: &'a str,
    pub issuer: &'a str,
    /// The client's registered `request_object_signing_alg`.
    pub algorithm: Option<&'a str>,
    /// Whether one without signature will do.
    pub unsigned: bool,
    /// The client's JWK Set.
    pub jwks: Option<&'a Value>,
    pub now: DateTime<Utc>,
}

impl<'a> RequestObject<'a> {
    pub fn read(text: &'a str) -> Result<Self, Error> {
        // RFC 7516 §3.1: five parts.
        if text.matches('.').count() == 4 {
            return Err(refused("encrypted request objects are not supported"));
        }
        Unverified::parse(text).map(Self).ok_or_else(|| refused("the request object is not a signed JWT"))
    }

    /// Whether it claims to need no key.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        self.0.header("alg") == Some("none")
    }

    /// What it says, unverified.
    #[must_use]
    pub fn unverified_claims(&self) -> &Map<String, Value> {
        &self.0.claims
    }

    /// What it says, once it is known to be the client's, for us, and of now.
    ///
    /// What is wrong with the claims is told only to who holds the key.
    pub fn verify(self, expected: &Expected<'_>) -> Result<Map<String, Value>, Error> {
        let Self(object) = self;
        let alg = object.header("alg").ok_or_else(|| refused("the request object has no alg"))?;
        // OIDC Registration §2: an object that is not signed with the registered algorithm MUST be rejected.
        if expected.algorithm.is_some_and(|registered| registered != alg) {
            return Err(refused("the request object's alg is not the one registered for this client"));
        }
        // RFC 7515 §4.1.11: an extension that is not understood must be refused, and we understand none.
        if object.header.contains_key("crit") {
            return Err(refused("the request object has a crit header, which is not supported"));
        }
        // RFC 9101 §10.8.1, RFC 8725 §3.12.
        if object.is_of_another_kind(OWN_TYPE) {
            return Err(refused("the request object's typ is that of another kind of JWT"));
        }
        if alg == "none" {
            // RFC 7518 §3.6: then the signature is empty.
            if !(expected.unsigned && object.is_bare()) {
                return Err(refused("unsigned request objects are not accepted from this client"));
            }
        } else {
            let algorithm = CLIENT_SIGNATURES.contains(&alg).then(|| alg.parse().ok()).flatten();
            let algorithm = algorithm.ok_or_else(|| refused("the request object's alg is not accepted"))?;
            expected
                .jwks
                .map_or(Err("the client has no keys"), |jwks| object.verify(algorithm, jwks))
                .map_err(|detail| refused("the request object is not signed by a key of this client").detail(detail))?;
        }
        check_claims(&object.claims, expected)?;
        Ok(object.claims)
    }
}

fn check_claims(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Error> {
    // RFC 9101 §4: neither MUST be included.
    if claims.contains_key("request") || claims.contains_key("request_uri") {
        return Err(refused("the request object contains request or request_uri"));
    }
    // RFC 9101 §5 and §6.3; iss is the client's where it signs. One of them has to be there: a key may be shared by
    // clients of one developer, and an object is only the one's that it names.
    let named: Vec<_> = ["client_id", "iss"].into_iter().filter_map(|name| claims.get(name)).collect();
    if named.is_empty() || named.iter().any(|name| name.as_str() != Some(expected.client_id)) {
        return Err(refused("client_id and iss of the request object must be the client_id of the request"));
    }
    // RFC 9101 §10.8: a client assertion is no request.
    if claims.get("sub").and_then(Value::as_str) == Some(expected.client_id) {
        return Err(refused("sub of the request object must not be the client_id"));
    }
    // RFC 9101 §4: the issuer, alone or among others.
    let is_ours = |audience: &Value| match audience {
        Value::String(one) => one == expected.issuer,
        Value::Array(many) => many.iter().any(|one| one == expected.issuer),
        _ => false,
    };
    if claims.get("aud").is_some_and(|audience| !is_ours(audience)) {
        return Err(refused("aud of the request object must be the issuer"));
    }
    check_times(claims, expected.now).map_err(|why| refused(why.said_of("the request object")))?;
    Ok(())
}

fn refused(description: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorCode::InvalidRequestObject, description)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{Algorithm, SigningKey, base64url},
        oauth::hostile,
    };

    const NOW: i64 = 1_800_000_000;

    fn key(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm).unwrap().0
    }

    fn set(keys: &[&SigningKey]) -> Value {
        json!({ "keys": keys.iter().map(|key| key.public_jwk()).collect::<Vec<_>>() })
    }

    fn expected(jwks: Option<&Value>) -> Expected<'_> {
        let now = DateTime::from_timestamp(NOW, 0).unwrap();
        Expected { client_id: "rp", issuer: "https://op.example", algorithm: None, unsigned: false, jwks, now }
    }

    fn outcome(text: &str, expected: &Expected<'_>) -> Result<Map<String, Value>, Error> {
        RequestObject::read(text)?.verify(expected)
    }

    fn bare(alg: &str, claims: &Value, signature: &str) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        format!("{}.{}.{signature}", part(&json!({ "alg": alg })), part(claims))
    }

    #[test]
    fn a_good_one_says_what_it_says() {
        for algorithm in Algorithm::ALL {
            let key = key(algorithm);
            for typ in ["JWT", OWN_TYPE, "application/oauth-authz-req+jwt"] {
                let text = key.sign(typ, &json!({ "client_id": "rp", "state": "s" })).unwrap();
                assert_eq!(outcome(&text, &expected(Some(&set(&[&key])))).unwrap()["state"], "s");
            }
        }
    }

    #[test]
    fn the_registered_algorithm_and_no_other() {
        let key = key(Algorithm::Es256);
        let text = key.sign("JWT", &json!({ "client_id": "rp" })).unwrap();
        let jwks = set(&[&key]);
        assert!(outcome(&text, &Expected { algorithm: Some("ES256"), ..expected(Some(&jwks)) }).is_ok());
        for other in ["RS256", "none"] {
            let expected = Expected { algorithm: Some(other), unsigned: true, ..expected(Some(&jwks)) };
            assert!(outcome(&text, &expected).is_err(), "{other}");
        }
        for alg in ["HS256", "ES256K", "", "None", "NONE"] {
            let text = bare(alg, &json!({ "client_id": "rp" }), "");
            let expected = Expected { unsigned: true, ..expected(Some(&jwks)) };
            assert!(outcome(&text, &expected).is_err(), "{alg}");
        }
    }

    #[test]
    fn unsigned_ones_where_they_will_do() {
        let text = bare("none", &json!({ "client_id": "rp" }), "");
        assert!(RequestObject::read(&text).unwrap().is_unsigned());
        assert!(outcome(&text, &expected(None)).is_err());
        assert!(outcome(&text, &Expected { unsigned: true, ..expected(None) }).is_ok());
        assert!(outcome(&text, &Expected { unsigned: true, algorithm: Some("RS256"), ..expected(None) }).is_err());
        // A signature where none is.
        let text = bare("none", &json!({ "client_id": "rp" }), "AAAA");
        assert!(outcome(&text, &Expected { unsigned: true, ..expected(None) }).is_err());
    }

    #[test]
    fn it_is_the_clients_for_us_and_of_now() {
        let key = key(Algorithm::EdDsa);
        let jwks = set(&[&key]);
        let outcome = |claims: Value| outcome(&key.sign(OWN_TYPE, &claims).unwrap(), &expected(Some(&jwks)));
        for good in [
            json!({ "iss": "rp" }),
            json!({ "iss": "rp", "client_id": "rp", "aud": "https://op.example", "exp": NOW + 60, "nbf": NOW, "iat": NOW }),
            json!({ "client_id": "rp", "aud": ["https://other.example", "https://op.example"], "sub": "alice" }),
            json!({ "client_id": "rp", "exp": NOW - 9 }),
        ] {
            assert!(outcome(good.clone()).is_ok(), "{good}");
        }
        for wrong in [
            json!({}),
            json!({ "client_id": "other" }),
            json!({ "client_id": "rp", "iss": "other" }),
            json!({ "client_id": ["rp"] }),
            json!({ "client_id": "rp", "aud": "https://other.example" }),
            json!({ "client_id": "rp", "aud": [] }),
            json!({ "client_id": "rp", "aud": null }),
            json!({ "client_id": "rp", "sub": "rp" }),
            json!({ "client_id": "rp", "exp": NOW - 10 }),
            json!({ "client_id": "rp", "exp": "soon" }),
            json!({ "client_id": "rp", "nbf": NOW + 11 }),
            json!({ "client_id": "rp", "iat": NOW + 11 }),
            json!({ "client_id": "rp", "request": "x" }),
            json!({ "client_id": "rp", "request_uri": null }),
        ] {
            assert!(outcome(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_kinds_of_jwt_and_other_keys_are_refused() {
        let (own, other) = (key(Algorithm::Es256), key(Algorithm::Es256));
        let jwks = set(&[&own]);
        for typ in ["dpop+jwt", "at+jwt", "client-authentication+jwt", "logout+jwt"] {
            assert!(
                outcome(&own.sign(typ, &json!({ "iss": "rp" })).unwrap(), &expected(Some(&jwks))).is_err(),
                "{typ}"
            );
        }
        let text = other.sign("JWT", &json!({ "iss": "other" })).unwrap();
        let error = outcome(&text, &expected(Some(&jwks))).unwrap_err();
        assert_eq!(error.description, "the request object is not signed by a key of this client");
        assert!(outcome(&text, &expected(None)).is_err());
        let encrypted = outcome("a.b.c.d.e", &expected(None)).unwrap_err();
        assert_eq!(encrypted.description, "encrypted request objects are not supported");
        for nonsense in ["", "a", "a.b", "a.b.c", "...", "....", "e30.e30."] {
            assert!(outcome(nonsense, &Expected { unsigned: true, ..expected(None) }).is_err(), "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_refused(text in hostile::jwt(), keys in hostile::json(&["keys", "kty", "crv", "x", "n", "kid", "alg"])) {
            let now = DateTime::from_timestamp(NOW, 0).unwrap();
            for jwks in [None, Some(&keys)] {
                let expected = Expected {
                    client_id: "rp", issuer: "https://op.example", algorithm: None, unsigned: false, jwks, now,
                };
                let refused = RequestObject::read(&text).and_then(|object| object.verify(&expected)).unwrap_err();
                prop_assert_eq!(refused.code, ErrorCode::InvalidRequestObject);
            }
        }
    }
}
