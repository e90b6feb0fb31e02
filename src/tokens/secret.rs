//! The secret parts of tokens, and the difference between a secret and what is stored of it (invariant 6).

use chrono::TimeDelta;
use uuid::Uuid;

use crate::jose::{Key256, base64url, from_base64url, random_bytes, sha256};

/// Prefixes that secret scanners can find.
pub const ACCESS: &str = "mo_at_";
pub const REFRESH: &str = "mo_rt_";
pub const CODE: &str = "mo_ac_";
pub const PASSWORD_RESET: &str = "mo_pr_";
/// RFC 9126 §2.2.
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// A token as its holder has it. No `Debug`, no `Serialize`: it leaves only by being asked for.
#[derive(Clone)]
pub struct PlainToken(String);

impl PlainToken {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

/// What is stored of an opaque access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// A new opaque access token for a row's id, and the hash to store.
pub(super) fn access_token(id: Uuid) -> (PlainToken, TokenHash) {
    let secret = random_bytes::<32>();
    (assemble(ACCESS, id.as_bytes(), &secret), hash(&secret))
}

pub(super) fn hash(secret: &[u8]) -> TokenHash {
    TokenHash(sha256(&[secret]))
}

fn assemble(prefix: &str, head: &[u8], secret: &[u8]) -> PlainToken {
    let mut octets = Vec::with_capacity(head.len() + secret.len());
    octets.extend_from_slice(head);
    octets.extend_from_slice(secret);
    PlainToken(format!("{prefix}{}", base64url(&octets)))
}

/// Id (the first 16 octets), what stands between, and the secret (the last 32).
pub(super) fn take_apart(prefix: &str, token: &str, between: usize) -> Option<(Uuid, Vec<u8>, Vec<u8>)> {
    let octets = from_base64url(token.strip_prefix(prefix)?)?;
    (octets.len() == 16 + between + 32).then_some(())?;
    let id = Uuid::from_slice(&octets[..16]).ok()?;
    Some((id, octets[16..16 + between].to_vec(), octets[16 + between..].to_vec()))
}

/// Codes: the secret is an HMAC of the id, so that a double submit can be answered with the same code and nothing
/// readable is stored.
pub struct CodeSecrets(Key256);

impl CodeSecrets {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    #[must_use]
    pub fn code(&self, id: Uuid) -> PlainToken {
        assemble(CODE, id.as_bytes(), &self.0.mac(&[id.as_bytes()]))
    }

    /// The id of a genuine code; a forged one is nobody's.
    #[must_use]
    pub fn verify(&self, code: &str) -> Option<Uuid> {
        let (id, _, secret) = take_apart(CODE, code, 0)?;
        self.0.verify(&[id.as_bytes()], &secret).then_some(id)
    }
}

/// The `request_uri` of pushed requests: made like codes, so that nothing readable is stored.
pub struct RequestUris(Key256);

impl RequestUris {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    #[must_use]
    pub fn request_uri(&self, id: Uuid) -> PlainToken {
        assemble(REQUEST_URI, id.as_bytes(), &self.0.mac(&[id.as_bytes()]))
    }

    /// The id of a genuine one.
    #[must_use]
    pub fn verify(&self, request_uri: &str) -> Option<Uuid> {
        let (id, _, secret) = take_apart(REQUEST_URI, request_uri, 0)?;
        self.0.verify(&[id.as_bytes()], &secret).then_some(id)
    }
}

/// Links for a forgotten password: made like codes, so that neither the database nor the outbox can be read for one.
pub struct ResetLinks(Key256);

impl ResetLinks {
    /// How long one is good.
    pub const LIFETIME: TimeDelta = TimeDelta::minutes(30);

    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    #[must_use]
    pub fn token(&self, id: Uuid) -> PlainToken {
        assemble(PASSWORD_RESET, id.as_bytes(), &self.0.mac(&[id.as_bytes()]))
    }

    /// The id of a genuine one.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Uuid> {
        let (id, _, secret) = take_apart(PASSWORD_RESET, token, 0)?;
        self.0.verify(&[id.as_bytes()], &secret).then_some(id)
    }
}

/// Refresh tokens: the secret of generation n is an HMAC of the family, n and the family's seed. Every genuine old one
/// is recognised as a replay, a forged one changes nothing, and the same successor can be handed out again.
pub struct RefreshSecrets(Key256);

/// A refresh token taken apart, not yet verified: the seed is in the database.
#[derive(Clone)]
pub struct RefreshToken {
    pub grant_id: Uuid,
    pub generation: i32,
    secret: Vec<u8>,
}

impl RefreshToken {
    /// Stands for text that is no refresh token: of no family, and genuine for none.
    #[must_use]
    pub fn nobodys() -> Self {
        Self { grant_id: Uuid::nil(), generation: 0, secret: Vec::new() }
    }
}

impl RefreshSecrets {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    #[must_use]
    pub fn token(&self, grant_id: Uuid, generation: i32, seed: &[u8]) -> PlainToken {
        let mut head = [0; 20];
        head[..16].copy_from_slice(grant_id.as_bytes());
        head[16..].copy_from_slice(&generation.to_be_bytes());
        assemble(REFRESH, &head, &self.0.mac(&[grant_id.as_bytes(), &generation.to_be_bytes(), seed]))
    }

    #[must_use]
    pub fn parse(token: &str) -> Option<RefreshToken> {
        let (grant_id, generation, secret) = take_apart(REFRESH, token, 4)?;
        Some(RefreshToken { grant_id, generation: i32::from_be_bytes(generation.try_into().ok()?), secret })
    }

    #[must_use]
    pub fn is_genuine(&self, token: &RefreshToken, seed: &[u8]) -> bool {
        self.0.verify(&[token.grant_id.as_bytes(), &token.generation.to_be_bytes(), seed], &token.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{MasterSecret, Purpose};

    fn key() -> Key256 {
        MasterSecret::from_bytes(b"0123456789abcdefghijklmnopqrstuv").unwrap().derive(Purpose::RefreshTokens)
    }

    #[test]
    fn a_code_is_the_same_each_time_and_forged_ones_are_nobodys() {
        let secrets = CodeSecrets::new(key());
        let id = Uuid::from_u128(7);
        let code = secrets.code(id).into_text();
        assert_eq!(code, secrets.code(id).into_text());
        assert_eq!(secrets.verify(&code), Some(id));
        let other = secrets.code(Uuid::from_u128(8)).into_text();
        let mixed = format!("{}{}", &code[..28], &other[28..]);
        assert_eq!(secrets.verify(&mixed), None);
        assert_eq!(secrets.verify("mo_ac_"), None);
    }

    #[test]
    fn a_request_uri_is_no_code_and_forged_ones_are_nobodys() {
        let (codes, uris) = (CodeSecrets::new(key()), RequestUris::new(key()));
        let id = Uuid::from_u128(7);
        let uri = uris.request_uri(id).into_text();
        assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"));
        assert_eq!(uris.verify(&uri), Some(id));
        assert_eq!(codes.verify(&uri), None);
        assert_eq!(uris.verify(&codes.code(id).into_text()), None);
        assert_eq!(uris.verify(&uri[..uri.len() - 1]), None);
        let other = uris.request_uri(Uuid::from_u128(8)).into_text();
        assert_eq!(uris.verify(&format!("{}{}", &uri[..56], &other[56..])), None);
    }

    #[test]
    fn a_refresh_token_of_another_generation_or_seed_is_not_genuine() {
        let secrets = RefreshSecrets::new(key());
        let token = secrets.token(Uuid::from_u128(7), 3, b"seed").into_text();
        let mut parsed = RefreshSecrets::parse(&token).unwrap();
        assert!(secrets.is_genuine(&parsed, b"seed"));
        assert!(!secrets.is_genuine(&parsed, b"another"));
        parsed.generation = 4;
        assert!(!secrets.is_genuine(&parsed, b"seed"));
    }
}
