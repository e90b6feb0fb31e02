//! Reading tokens as their recipients do: by the published keys, with somebody else's code.

use jsonwebtoken::{DecodingKey, Header, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;

use super::Server;

/// A JWT whose signature fits a published key.
pub struct Jwt {
    pub header: Header,
    pub claims: Value,
}

/// Verifies signature and times by the JWKS; the rest is for whoever asks.
pub async fn verify(server: &Server, token: &str) -> Jwt {
    let url = server.endpoint("jwks_uri");
    let answer = server.http().get(url).send().await.expect("the JWKS");
    let text = answer.text().await.expect("the JWKS");
    let keys: JwkSet = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let header = decode_header(token).unwrap_or_else(|error| panic!("{error}: {token}"));
    let kid = header.kid.as_deref().expect("a kid");
    let jwk = keys.find(kid).unwrap_or_else(|| panic!("the JWKS has no {kid}"));
    let key = DecodingKey::from_jwk(jwk).expect("a key");
    let mut validation = Validation::new(header.alg);
    validation.validate_aud = false;
    // The server's clock may be ahead of this machine's.
    validation.validate_exp = false;
    let claims: Value = decode(token, &key, &validation).unwrap_or_else(|error| panic!("{error}: {token}")).claims;
    let now = server.clock.now().timestamp();
    let (issued, expires) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
    assert!(issued <= now && now < expires, "{claims}");
    assert_eq!(claims["iss"], server.issuer.as_str());
    Jwt { header, claims }
}

/// What a token says, unverified.
pub fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap_or_else(|| panic!("not a JWT: {token}"));
    serde_json::from_slice(&mooring::jose::from_base64url(body).expect("base64url")).expect("claims")
}
