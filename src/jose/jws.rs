//! Reading and verifying a JWS in compact serialisation (RFC 7515).
//!
//! A header never chooses how it is verified: the caller says which algorithms it accepts and which keys, and a key
//! is used only with an algorithm of its own kind (RFC 8725 §3.1). Claims are not judged here.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::{from_base64url, parse_bounded};

/// The longest token: a request object, or an ID token, may hold a `state` and a `nonce` of 8 KiB each.
const MAX_LENGTH: usize = 32 * 1024;

/// More members, nested ones included, than a header and the claims of any token have.
const MAX_ELEMENTS: usize = 1000;

/// Signatures tried for one token of a client: enough for a rotation without `kid`, too few to make us work for a stranger.
const MAX_KEYS_TRIED: usize = 4;

/// A JWS whose signature nobody has verified yet.
pub(super) struct Unverified<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    message: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        Some(Self { header: object(header)?, claims: object(claims)?, message, signature })
    }

    /// A member of the header that is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// Whether the header is of this type. RFC 7515 §4.1.9: media types are compared without regard to case, and
    /// "application/" may be left out.
    pub fn has_type(&self, expected: &str) -> bool {
        self.header("typ").is_some_and(|typ| {
            let typ = typ.to_ascii_lowercase();
            typ.strip_prefix("application/").unwrap_or(&typ) == expected.to_ascii_lowercase()
        })
    }

    /// RFC 8725 §3.12: whether it says to be a JWT of another kind than `own`. Absent, "JWT" and values that name no
    /// kind of JWT pass.
    pub fn is_of_another_kind(&self, own: &str) -> bool {
        self.header("typ").is_some_and(|typ| typ.to_ascii_lowercase().ends_with("+jwt")) && !self.has_type(own)
    }

    /// The keys of a JWK Set that may have signed it: those of its `kid` if it has one, and of its kind (RFC 7517 §4.5).
    pub fn candidates<'k>(&'k self, algorithm: Algorithm, jwks: &'k Value) -> impl Iterator<Item = &'k Value> {
        let kid = self.header.get("kid");
        let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
        keys.filter(move |jwk| kid.is_none_or(|kid| jwk.get("kid") == Some(kid)) && is_compatible(algorithm, jwk))
    }

    /// Whether a key of the JWK Set verifies the signature; `Err` says why not, for the log.
    pub fn verify(&self, algorithm: Algorithm, jwks: &Value) -> Result<(), &'static str> {
        let mut keys = self.candidates(algorithm, jwks).take(MAX_KEYS_TRIED).peekable();
        let why = if keys.peek().is_none() { "no key of the client fits kid and alg" } else { "wrong signature" };
        if keys.any(|jwk| self.is_signed_by(algorithm, jwk)) { Ok(()) } else { Err(why) }
    }

    /// Whether there is no signature at all.
    pub fn is_bare(&self) -> bool {
        self.signature.is_empty()
    }

    /// Whether the public JWK verifies the signature. A key for another algorithm or another use does not.
    pub fn is_signed_by(&self, algorithm: Algorithm, jwk: &Value) -> bool {
        decoding_key(algorithm, jwk).is_some_and(|key| {
            jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key, algorithm).unwrap_or(false)
        })
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match parse_bounded(&from_base64url(part)?, MAX_ELEMENTS).ok()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Whether the JWK may verify this algorithm: its `kty` and `crv` must (RFC 7518 §3.1, RFC 8037 §3.1), and its
/// `use`, `key_ops` and `alg`, where present, must not say otherwise (RFC 7517 §4.2 to §4.4).
pub(super) fn is_compatible(algorithm: Algorithm, jwk: &Value) -> bool {
    let text = |name| jwk.get(name).and_then(Value::as_str);
    let kind = match algorithm {
        Algorithm::ES256 => ("EC", Some("P-256")),
        Algorithm::ES384 => ("EC", Some("P-384")),
        Algorithm::EdDSA => ("OKP", Some("Ed25519")),
        other if other.family() == AlgorithmFamily::Rsa => ("RSA", None),
        _ => return false,
    };
    let name = serde_json::to_value(algorithm).unwrap_or_default();
    text("kty") == Some(kind.0)
        && (kind.1.is_none() || text("crv") == kind.1)
        && jwk.get("use").is_none_or(|usage| usage == "sig")
        && jwk.get("alg").is_none_or(|own| *own == name)
        && jwk
            .get("key_ops")
            .is_none_or(|operations| operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify")))
}

fn decoding_key(algorithm: Algorithm, jwk: &Value) -> Option<DecodingKey> {
    if !is_compatible(algorithm, jwk) {
        return None;
    }
    let text = |name| jwk.get(name).and_then(Value::as_str);
    match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_components(text("n")?, text("e")?),
        AlgorithmFamily::Ec => DecodingKey::from_ec_components(text("x")?, text("y")?),
        AlgorithmFamily::Ed => DecodingKey::from_ed_components(text("x")?),
        AlgorithmFamily::Hmac => return None,
    }
    .ok()
}

/// Verifies a token that we signed ourselves (an `id_token_hint`, a JWT access token) by its `kid` among our public
/// JWKs, and gives its claims.
///
/// Neither `exp` nor `iss` nor `aud` is looked at: an ID token that has expired still is a hint (OIDC RP-Initiated
/// Logout §2). Say `typ` wherever tokens of another type must not pass (RFC 8725 §3.11).
pub fn verify_own(token: &str, jwks: &[Value], typ: Option<&str>) -> Option<Map<String, Value>> {
    let token = Unverified::parse(token)?;
    let kid = token.header("kid")?;
    let jwk = jwks.iter().find(|jwk| jwk["kid"] == kid)?;
    // The key says the algorithm; the header must agree.
    let algorithm = jwk["alg"].as_str().filter(|own| token.header("alg") == Some(own))?.parse().ok()?;
    let accepted = typ.is_none_or(|typ| token.has_type(typ)) && !token.header.contains_key("crit");
    (accepted && token.is_signed_by(algorithm, jwk)).then_some(token.claims)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{
        jose::{Algorithm as Own, SigningKey, base64url, names_known_key, peek_issuer, verify_assertion},
        oauth::{ErrorCode, hostile},
    };

    fn key(algorithm: Own) -> SigningKey {
        SigningKey::generate(algorithm).unwrap().0
    }

    fn forged(header: &Value, claims: &Value, signature: &str) -> String {
        format!("{}.{}.{signature}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()))
    }

    #[test]
    fn the_type_is_compared_as_a_media_type() {
        let key = key(Own::EdDsa);
        let jwks = [key.public_jwk().clone()];
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            let token = key.sign(typ, &json!({})).unwrap();
            assert!(verify_own(&token, &jwks, Some("at+jwt")).is_some(), "{typ}");
            assert!(verify_own(&token, &jwks, Some("JWT")).is_none(), "{typ}");
            assert!(verify_own(&token, &jwks, None).is_some(), "{typ}");
        }
    }

    #[test]
    fn an_expired_token_is_still_verified() {
        let key = key(Own::Es256);
        let token = key.sign("JWT", &json!({ "exp": 1 })).unwrap();
        assert_eq!(verify_own(&token, &[key.public_jwk().clone()], None).unwrap()["exp"], 1);
    }

    #[test]
    fn the_key_is_found_among_several_and_no_other_will_do() {
        let (old, new, other) = (key(Own::Es256), key(Own::EdDsa), key(Own::Es256));
        let jwks = [old.public_jwk().clone(), new.public_jwk().clone()];
        assert!(verify_own(&old.sign("JWT", &json!({})).unwrap(), &jwks, None).is_some());
        assert!(verify_own(&new.sign("JWT", &json!({})).unwrap(), &jwks, None).is_some());
        assert!(verify_own(&other.sign("JWT", &json!({})).unwrap(), &jwks, None).is_none());
    }

    #[test]
    fn changed_tokens_are_refused() {
        let key = key(Own::EdDsa);
        let jwks = [key.public_jwk().clone()];
        let token = key.sign("JWT", &json!({ "sub": "alice" })).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let claims = base64url(br#"{"sub":"mallory"}"#);
        for changed in [
            format!("{}.{claims}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{token}."),
            format!("{token}="),
            format!(" {token}"),
            String::new(),
            "..".into(),
            "a.b.c".into(),
        ] {
            assert!(verify_own(&changed, &jwks, None).is_none(), "{changed}");
        }
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        let key = key(Own::Rs256);
        let jwks = [key.public_jwk().clone()];
        let claims = json!({ "sub": "mallory" });
        for alg in ["none", "None", "HS256", "EdDSA", "RS512", ""] {
            let header = json!({ "alg": alg, "typ": "JWT", "kid": key.kid() });
            assert!(verify_own(&forged(&header, &claims, ""), &jwks, None).is_none(), "{alg}");
        }
        // RFC 8725 §2.1: the public key as the secret of an HMAC.
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": key.kid() });
        let unsigned = forged(&header, &claims, "");
        let message = unsigned.trim_end_matches('.').as_bytes();
        let modulus = from_base64url(jwks[0]["n"].as_str().unwrap()).unwrap();
        let secret = jsonwebtoken::EncodingKey::from_secret(&modulus);
        let signature = jsonwebtoken::crypto::sign(message, &secret, Algorithm::HS256).unwrap();
        assert!(verify_own(&forged(&header, &claims, &signature), &jwks, None).is_none());
    }

    #[test]
    fn critical_extensions_are_refused() {
        let (own, pkcs8) = SigningKey::generate(Own::EdDsa).unwrap();
        let header = json!({ "alg": "EdDSA", "kid": own.kid(), "crit": ["b64"], "b64": true });
        let unsigned = forged(&header, &json!({}), "");
        let message = unsigned.trim_end_matches('.').as_bytes();
        let secret = jsonwebtoken::EncodingKey::from_ed_der(pkcs8.as_ref());
        let signature = jsonwebtoken::crypto::sign(message, &secret, Algorithm::EdDSA).unwrap();
        assert!(verify_own(&forged(&header, &json!({}), &signature), &[own.public_jwk().clone()], None).is_none());
    }

    #[test]
    fn a_key_serves_its_own_kind_only() {
        let ec = json!({ "kty": "EC", "crv": "P-256", "x": "", "y": "" });
        assert!(is_compatible(Algorithm::ES256, &ec));
        assert!(!is_compatible(Algorithm::ES384, &ec));
        assert!(!is_compatible(Algorithm::RS256, &ec));
        assert!(!is_compatible(Algorithm::HS256, &json!({ "kty": "oct", "k": "" })));
        let rsa = |member: &str, value: Value| json!({ "kty": "RSA", member: value });
        assert!(is_compatible(Algorithm::PS384, &rsa("use", json!("sig"))));
        assert!(!is_compatible(Algorithm::PS384, &rsa("use", json!("enc"))));
        assert!(!is_compatible(Algorithm::PS384, &rsa("alg", json!("RS256"))));
        assert!(is_compatible(Algorithm::PS384, &rsa("key_ops", json!(["verify"]))));
        assert!(!is_compatible(Algorithm::PS384, &rsa("key_ops", json!(["encrypt"]))));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_token_of_ours(token in hostile::jwt(), keys in hostile::json(&["keys", "kty", "crv", "x", "n", "kid", "alg"])) {
            let own = key(Own::EdDsa);
            prop_assert_eq!(verify_own(&token, &[own.public_jwk().clone(), keys.clone()], None), None);
            let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            for jwks in [json!({ "keys": [own.public_jwk()] }), json!({ "keys": [keys] }), keys] {
                let refused = verify_assertion(&token, &jwks, &["https://op.example"], None, now).unwrap_err();
                prop_assert_eq!(refused.code, ErrorCode::InvalidClient);
                names_known_key(&token, &jwks);
            }
            peek_issuer(&token);
        }

        /// Signed by the right key, and nonsense all the same.
        #[test]
        fn whatever_is_signed_is_judged(claims in hostile::object(&["iss", "sub", "aud", "exp", "nbf", "iat", "jti"], hostile::json(&["iss"]))) {
            let own = key(Own::EdDsa);
            let jwks = json!({ "keys": [own.public_jwk()] });
            let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            let mut usual = json!({ "iss": "rp", "sub": "rp", "aud": "https://op.example", "exp": 1_800_000_060, "jti": "1" });
            for (name, value) in claims {
                usual[name] = value;
            }
            let token = own.sign("JWT", &usual).unwrap();
            prop_assert!(verify_own(&token, &[own.public_jwk().clone()], Some("JWT")).is_some());
            match verify_assertion(&token, &jwks, &["https://op.example"], None, now) {
                Ok(read) => prop_assert!(!read.jti.is_empty()),
                Err(error) => prop_assert_eq!(error.code, ErrorCode::InvalidClient),
            }
        }
    }
}
