//! What is kept of a JWK Set of somebody else's: the public keys, and of each the members that verifying uses.

use serde_json::{Map, Value, json};

/// More keys than any rotation needs.
const MOST_KEYS: usize = 100;

/// Longer than the modulus of an RSA key of 16,384 bits.
const LONGEST_MEMBER: usize = 3 << 10;

/// RFC 7517 §4, RFC 7518 §6: without certificates, and without members that we do not know.
const MEMBERS: [&str; 9] = ["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"];

/// The set with its keys alone. A key with a member of the wrong type is left out (RFC 7517 §5).
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
    ["RSA", "EC", "OKP"].contains(&kept.get("kty")?.as_str()?).then_some(Value::Object(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_the_members_that_verify_are_kept() {
        let set = json!({ "keys": [
            { "kty": "EC", "kid": "a", "crv": "P-256", "x": "x", "y": "y", "x5c": ["long"], "more": { "a": [1] } },
            { "kty": "RSA", "n": "n", "e": "AQAB", "key_ops": ["verify", "encrypt"] },
            { "kty": "RSA", "n": "n", "e": "AQAB", "key_ops": ["encrypt"] },
            { "kty": "RSA", "n": ["n"], "e": "AQAB" }, { "kty": "oct", "k": "k" }, { "kid": "b" }, 7, null, {},
            { "kty": "RSA", "n": "n".repeat(4000), "e": "AQAB" },
        ], "more": [] });
        let kept = json!({ "keys": [
            { "kty": "EC", "kid": "a", "crv": "P-256", "x": "x", "y": "y" },
            { "kty": "RSA", "n": "n", "e": "AQAB", "key_ops": ["verify"] },
            { "kty": "RSA", "n": "n", "e": "AQAB", "key_ops": [] },
        ] });
        assert_eq!(keys_alone(&set), kept);
        for none in [json!(null), json!([]), json!({ "keys": {} })] {
            assert_eq!(keys_alone(&none), json!({ "keys": [] }));
        }
        let many = json!({ "keys": vec![json!({ "kty": "OKP", "crv": "Ed25519", "x": "x" }); 500] });
        assert_eq!(keys_alone(&many)["keys"].as_array().unwrap().len(), MOST_KEYS);
    }
}
