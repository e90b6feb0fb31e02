//! JWTs of strangers, request objects among them, and the key sets of strangers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mooring::jose::{Expected, RequestObject, names_known_key, peek_issuer, verify_assertion, verify_own};

fuzz_target!(|input: (&str, &str)| {
    let (token, now) = (input.0, chrono::DateTime::UNIX_EPOCH);
    let (jwks, issuer) = (serde_json::from_str(input.1).unwrap_or_default(), "https://op.example");
    let _ = (peek_issuer(token), names_known_key(token, &jwks), verify_assertion(token, &jwks, &[issuer], None, now));
    assert!(verify_own(token, &[], None).is_none());
    let expected = Expected { client_id: "rp", issuer, algorithm: None, unsigned: false, jwks: Some(&jwks), now };
    let _ = RequestObject::read(token).and_then(|object| object.verify(&expected));
});
