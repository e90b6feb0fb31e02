//! What is kept of a JWK Set of somebody else's: the public keys, and of each the members that verifying uses.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::from_base64url;

/// More keys than any rotation needs.
const MOST_KEYS: usize = 100;

/// Longer than any member of a key that is kept.
const LONGEST_MEMBER: usize = 1 << 10;

/// The bits of an RSA modulus. RFC 7518 §3.3 demands 2048; the work of verifying grows with the square of the length.
const RSA_BITS: RangeInclusive<usize> = 2048..=4096;

/// The bits of a public exponent: 65537, which nearly every key has, is of 17.
const MOST_EXPONENT_BITS: usize = 32;

/// RFC 7517 §4, RFC 7518 §6: without certificates, and without members that we do not know.
const MEMBERS: [&str; 9] = ["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"];

/// The set with its keys alone. A key with a member of the wrong type, and an RSA key of another size than [`has_usual_size`]
/// takes, is left out (RFC 7517 §5).
#[must_use]
pub fn keys_alone(document: &Value) -> Value {
    let keys = document.get("keys").and_then(Value::as_array).into_iter().flatten();
    json!({ "keys": keys.filter_map(key_alone).take(MOST_KEYS).collect::<Vec<_>>() })
}

fn key_alone(key: &Value) -> Option<Value> {
    let key = key.as_object()?;
    let mut kept = Map::new();
    for name in MEMBERS {
        let Some(value) = key.get(name) else { continue };
        let text = value.as_str().filter(|text| text.len() <= LONGEST_MEMBER)?;
        kept.insert(name.to_owned(), text.into());
    }
    if let Some(operations) = key.get("key_ops") {
        // Verifying is the only operation that is asked for.
        let verifies = operations.as_array()?.iter().any(|one| one == "verify");
        kept.insert("key_ops".to_owned(), if verifies { json!(["verify"]) } else { json!([]) });
    }
    let kept = Value::Object(kept);
    (["RSA", "EC", "OKP"].contains(&kept.get("kty")?.as_str()?) && has_usual_size(&kept)).then_some(kept)
}

/// Whether the key is not RSA, or has 2,048 to 4,096 bits and an exponent of at most 32 bits: verifying with others would let
/// a stranger buy our time.
fn has_usual_size(key: &Value) -> bool {
    let bits = |name: &str| -> Option<usize> {
        let octets = from_base64url(key.get(name)?.as_str()?)?;
        let first = octets.iter().position(|octet| *octet != 0)?;
        Some((octets.len() - first) * 8 - octets[first].leading_zeros() as usize)
    };
    key.get("kty").and_then(Value::as_str) != Some("RSA")
        || bits("n").is_some_and(|bits| RSA_BITS.contains(&bits))
            && bits("e").is_some_and(|bits| bits <= MOST_EXPONENT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::base64url;

    #[test]
    fn an_rsa_key_has_a_usual_size() {
        let key = |bits: usize, e: &str| {
            let mut n = vec![0; bits.div_ceil(8)];
            n[0] = 1 << ((bits - 1) % 8);
            json!({ "kty": "RSA", "n": base64url(&n), "e": e })
        };
        for (bits, e) in [(2048, "AQAB"), (3072, "Aw"), (4096, "AQAB"), (4096, "AP____8")] {
            assert!(has_usual_size(&key(bits, e)), "{bits} {e}");
        }
        for (bits, e) in [(1024, "AQAB"), (2047, "AQAB"), (4097, "AQAB"), (8192, "AQAB"), (2048, "Af____8"), (2048, "")]
        {
            assert!(!has_usual_size(&key(bits, e)), "{bits} {e}");
        }
        assert!(has_usual_size(&json!({ "kty": "EC" })));
    }

    #[test]
    fn of_a_key_the_members_that_verify_are_kept() {
        let n = base64url(&[0xff; 256]);
        let set = json!({ "keys": [
            { "kty": "EC", "kid": "a", "crv": "P-256", "x": "x", "y": "y", "x5c": ["long"], "more": { "a": [1] } },
            { "kty": "RSA", "n": n, "e": "AQAB", "key_ops": ["verify", "encrypt"] },
            { "kty": "RSA", "n": n, "e": "AQAB", "key_ops": ["encrypt"] },
            { "kty": "RSA", "n": ["n"], "e": "AQAB" }, { "kty": "oct", "k": "k" }, { "kid": "b" }, 7, null, {},
            { "kty": "RSA", "n": "n".repeat(4000), "e": "AQAB" },
        ], "more": [] });
        let kept = json!({ "keys": [
            { "kty": "EC", "kid": "a", "crv": "P-256", "x": "x", "y": "y" },
            { "kty": "RSA", "n": n, "e": "AQAB", "key_ops": ["verify"] },
            { "kty": "RSA", "n": n, "e": "AQAB", "key_ops": [] },
        ] });
        assert_eq!(keys_alone(&set), kept);
        for none in [json!(null), json!([]), json!({ "keys": {} })] {
            assert_eq!(keys_alone(&none), json!({ "keys": [] }));
        }
        let many = json!({ "keys": vec![json!({ "kty": "OKP", "crv": "Ed25519", "x": "x" }); 500] });
        assert_eq!(keys_alone(&many)["keys"].as_array().unwrap().len(), MOST_KEYS);
    }
}
