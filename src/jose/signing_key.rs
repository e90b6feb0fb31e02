//! The keys that sign ID tokens, JWT access tokens and logout tokens.
//!
//! A [`SigningKey`] holds the parsed private key (parsing one for every signature costs more than an Ed25519
//! signature) and shows only its public half. It does not know whether it is in use: rotation is policy.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    pkcs8::Document,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Algorithm, base64url, sha256};
use crate::failure::Broken;

/// A private key to be sealed and stored, as PKCS #8. Wiped when dropped.
pub struct Pkcs8(Der);

enum Der {
    Rsa(Pkcs8V1Der<'static>),
    Curve(Document),
}

impl AsRef<[u8]> for Pkcs8 {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Der::Rsa(der) => (**der).as_ref(),
            Der::Curve(document) => document.as_ref(),
        }
    }
}

impl fmt::Debug for Pkcs8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs8(…)")
    }
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A private key ready to sign, with its public JWK.
pub struct SigningKey {
    pair: Pair,
    algorithm: Algorithm,
    kid: String,
    public_jwk: Value,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: Algorithm,
    typ: &'a str,
    kid: &'a str,
}

impl SigningKey {
    /// Makes a new key: RSA of 2048 bits, P-256 or Ed25519.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Pkcs8), Broken> {
        let failed = |_| Broken::new(format!("generating a key for {algorithm} failed"));
        let (pair, der) = match algorithm {
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let der = pair.as_der().map_err(failed)?;
                (Pair::Rsa(pair), Der::Rsa(der))
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                let der = pair.to_pkcs8v1().map_err(failed)?;
                (Pair::P256(pair), Der::Curve(der))
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let der = pair.to_pkcs8().map_err(failed)?;
                (Pair::Ed25519(pair), Der::Curve(der))
            }
        };
        Ok((Self::new(algorithm, pair), Pkcs8(der)))
    }

    /// Reads a key that [`SigningKey::generate`] made.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, Broken> {
        let unreadable = |cause| Broken::new(format!("reading a key for {algorithm} failed: {cause}"));
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(unreadable)?),
            Algorithm::Es256 => {
                Pair::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(unreadable)?)
            }
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(unreadable)?),
        };
        Ok(Self::new(algorithm, pair))
    }

    fn new(algorithm: Algorithm, pair: Pair) -> Self {
        let mut public_jwk = public_members(&pair);
        let kid = thumbprint(&public_jwk);
        public_jwk["kid"] = json!(kid);
        public_jwk["use"] = json!("sig");
        public_jwk["alg"] = json!(algorithm);
        Self { pair, algorithm, kid, public_jwk }
    }

    /// The key's RFC 7638 thumbprint: the same key has the same name on every replica.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half, with `kid`, `use` and `alg`.
    pub fn public_jwk(&self) -> &Value {
        &self.public_jwk
    }

    /// Signs the claims: a JWS in compact serialisation (RFC 7515 §7.1) of explicit type (RFC 8725 §3.11).
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, Broken> {
        let unserialisable = |cause| Broken::new(format!("serialising a token failed: {cause}"));
        let header = Header { alg: self.algorithm, typ, kid: &self.kid };
        let header = serde_json::to_vec(&header).map_err(unserialisable)?;
        let claims = serde_json::to_vec(claims).map_err(unserialisable)?;
        // The largest signature is that of RSA-2048, 342 characters.
        let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 348);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let message = token.as_bytes();
        let failed = |_| Broken::new(format!("signing with {} failed", self.algorithm));
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(failed)?;
                append_signature(&mut token, &signature);
            }
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(failed)?;
                append_signature(&mut token, signature.as_ref());
            }
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(failed)?;
                append_signature(&mut token, signature.as_ref());
            }
        }
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm).field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn append_signature(token: &mut String, signature: &[u8]) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, token);
}

/// The members that make the key (RFC 7518 §6.2.1 and §6.3.1, RFC 8037 §2).
fn public_members(pair: &Pair) -> Value {
    match pair {
        Pair::Rsa(pair) => {
            let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
            json!({ "kty": "RSA", "n": base64url(&n), "e": base64url(&e) })
        }
        Pair::P256(pair) => {
            // SEC 1 §2.3.3: 04 ‖ x ‖ y, 32 octets each.
            let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
            json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) })
        }
        Pair::Ed25519(pair) => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref()) })
        }
    }
}

/// RFC 7638 §3: SHA-256 of the required members only, in the order of their names, without white space.
fn thumbprint(members: &Value) -> String {
    let ordered: std::collections::BTreeMap<_, _> = members.as_object().into_iter().flatten().collect();
    base64url(&sha256(&[json!(ordered).to_string().as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{from_base64url, verify_own};

    #[test]
    fn what_a_key_signs_it_verifies_after_being_stored() {
        for algorithm in Algorithm::ALL {
            let (key, stored) = SigningKey::generate(algorithm).unwrap();
            let read = SigningKey::from_pkcs8(algorithm, stored.as_ref()).unwrap();
            assert_eq!(read.kid(), key.kid());
            assert_eq!(read.public_jwk(), key.public_jwk());
            let token = read.sign("JWT", &json!({ "sub": "alice" })).unwrap();
            let claims = verify_own(&token, &[key.public_jwk().clone()], Some("JWT")).unwrap();
            assert_eq!(claims["sub"], "alice");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_not_read() {
        let (_, stored) = SigningKey::generate(Algorithm::Es256).unwrap();
        assert!(SigningKey::from_pkcs8(Algorithm::EdDsa, stored.as_ref()).is_err());
        assert!(SigningKey::from_pkcs8(Algorithm::Rs256, stored.as_ref()).is_err());
        assert!(SigningKey::from_pkcs8(Algorithm::Es256, b"nonsense").is_err());
    }

    #[test]
    fn the_public_jwk_is_public() {
        for algorithm in Algorithm::ALL {
            let (key, stored) = SigningKey::generate(algorithm).unwrap();
            let jwk = key.public_jwk().as_object().unwrap();
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(!jwk.contains_key(private));
            }
            assert_eq!(jwk["use"], "sig");
            assert_eq!(jwk["alg"], algorithm.as_str());
            assert_eq!(jwk["kid"], key.kid());
            assert_eq!(format!("{stored:?}"), "Pkcs8(…)");
        }
    }

    #[test]
    fn the_header_says_algorithm_type_and_key() {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let token = key.sign("at+jwt", &json!({})).unwrap();
        let header = from_base64url(token.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header, json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key.kid() }));
    }

    /// The key of RFC 7638 §3.1 and that of RFC 8037 §A.3.
    #[test]
    fn thumbprints_of_the_specifications() {
        let rsa = json!({
            "kty": "RSA", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        assert_eq!(thumbprint(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed25519 = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        assert_eq!(thumbprint(&ed25519), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn keys_are_shared_between_threads() {
        fn shareable<T: Send + Sync>() {}
        shareable::<SigningKey>();
    }
}
