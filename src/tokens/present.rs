//! A token that somebody presents: what row it claims to be, and whether it is that row's.

use uuid::Uuid;

use super::{
    Keys,
    jwt_access_token::JWT_TYPE,
    secret::{self, ACCESS},
};
use crate::{
    db::access_tokens::LiveToken,
    jose::{constant_time_eq, verify_own},
};

/// An access token taken apart. Its row is still to be found, and compared with [`Presented::is_genuine`].
#[derive(Clone)]
pub struct Presented {
    pub id: Uuid,
    /// `None`: a JWT, whose signature has been verified.
    secret: Option<Vec<u8>>,
}

impl Presented {
    /// Reads an opaque token or a JWT of ours; `None` when it is neither.
    #[must_use]
    pub fn read(token: &str, keys: &Keys) -> Option<Self> {
        if token.starts_with(ACCESS) {
            let (id, _, secret) = secret::take_apart(ACCESS, token, 0)?;
            return Some(Self { id, secret: Some(secret) });
        }
        // RFC 9068 §4: the type is checked, so that an ID token is never taken for an access token.
        let claims = verify_own(token, &keys.public_jwks(), Some(JWT_TYPE))?;
        let id = claims.get("jti")?.as_str()?.parse().ok()?;
        Some(Self { id, secret: None })
    }

    /// Whether it is the token of this row; in constant time.
    #[must_use]
    pub fn is_genuine(&self, row: &LiveToken) -> bool {
        match (&self.secret, &row.secret_hash) {
            (Some(secret), Some(stored)) => constant_time_eq(&secret::hash(secret).0, stored),
            (None, None) => row.id == self.id,
            _ => false,
        }
    }
}
