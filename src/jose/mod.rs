//! Keys, signatures and secrets: what Mooring signs, what it verifies, and what it derives from the master secret.
//!
//! Nothing here does I/O or knows what time it is; whoever needs an instant passes it in. Private keys leave this
//! module only as [`Pkcs8`], which is wiped when dropped and has no `Debug` that shows it.

mod algorithm;
mod assertion;
mod bounded_json;
mod jws;
mod key_set;
mod request_object;
mod secrets;
mod signing_key;
mod times;

pub use algorithm::{Algorithm, UnknownAlgorithm, at_hash};
pub use assertion::{
    Assertion, CLIENT_ASSERTION_TYPE, MAX_ASSERTION_LIFETIME_SECONDS, names_known_key, peek_issuer, verify_assertion,
};
pub use bounded_json::{TOO_MANY_ELEMENTS, parse_bounded};
pub use jws::verify_own;
pub use key_set::keys_alone;
pub use request_object::{Expected, RequestObject};
pub use secrets::{
    Key256, MasterSecret, Purpose, base64url, constant_time_eq, from_base64url, random_bytes, sha1_hex, sha256,
};
pub use signing_key::{Pkcs8, SigningKey};
pub use times::SKEW_SECONDS;
