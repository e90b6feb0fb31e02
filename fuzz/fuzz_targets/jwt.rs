//! JWTs of strangers, request objects among them, and the key sets of strangers; and what a client signs with its own key,
//! which is nonsense all the same.
#![no_main]

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta};
use libfuzzer_sys::fuzz_target;
use mooring::jose::{
    Algorithm, Expected, RequestObject, SigningKey, names_known_key, peek_issuer, verify_assertion, verify_own,
};
use serde_json::{Value, json};

static OWN: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::generate(Algorithm::EdDsa).unwrap_or_else(|_| unreachable!()).0);

fuzz_target!(|input: (&str, &str)| {
    let (token, now, issuer) = (input.0, DateTime::UNIX_EPOCH, "https://op.example");
    let given: Value = serde_json::from_str(input.1).unwrap_or_default();
    let _ = (peek_issuer(token), names_known_key(token, &given), verify_assertion(token, &given, &[issuer], None, now));
    assert!(verify_own(token, &[], None).is_none());
    let expected = |jwks| Expected { client_id: "rp", issuer, algorithm: None, unsigned: false, jwks: Some(jwks), now };
    let _ = RequestObject::read(token).and_then(|object| object.verify(&expected(&given)));

    let Value::Object(members) = &given else { return };
    let jwks = json!({ "keys": [OWN.public_jwk()] });
    let mut claims = json!({ "iss": "rp", "sub": "rp", "aud": issuer, "exp": 60, "jti": "1" });
    for (name, value) in members {
        claims[name] = value.clone();
    }
    let Ok(signed) = OWN.sign("JWT", &claims) else { return };
    if let Ok(assertion) = verify_assertion(&signed, &jwks, &[issuer], None, now) {
        let ahead = assertion.expires_at - now;
        assert!(ahead > TimeDelta::seconds(-10) && ahead <= TimeDelta::seconds(310), "{claims}");
    }
    if let Ok(said) = RequestObject::read(&signed).and_then(|object| object.verify(&expected(&jwks))) {
        assert!(said.get("client_id").or(said.get("iss")).is_some_and(|named| named == "rp"), "{claims}");
    }
});
