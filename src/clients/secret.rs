//! Secrets of clients: random, so a fast hash is enough to store them, and what would make every call dear protects nothing.

use crate::jose::{base64url, constant_time_eq, random_bytes, sha256};

/// A new one, of 256 bits.
pub(super) fn generate() -> String {
    base64url(&random_bytes::<32>())
}

/// What is stored of one.
pub(super) fn hash(secret: &str) -> Vec<u8> {
    sha256(&[secret.as_bytes()]).to_vec()
}

/// Whether it is the one that this was stored of; in constant time.
pub(super) fn fits(secret: &str, stored: &[u8]) -> bool {
    constant_time_eq(&sha256(&[secret.as_bytes()]), stored)
}
