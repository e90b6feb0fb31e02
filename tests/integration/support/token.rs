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
    let jwt = verify_signature(server, token).await;
    let (now, claims) = (server.clock.now().timestamp(), &jwt.claims);
    let (issued, expires) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
    assert!(issued <= now && now < expires, "{claims}");
    jwt
}

/// Verifies the signature by the JWKS, and the issuer: of an answer that does not expire.
pub async fn verify_signature(server: &Server, token: &str) -> Jwt {
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
    validation.required_spec_claims.clear();
    let claims: Value = decode(token, &key, &validation).unwrap_or_else(|error| panic!("{error}: {token}")).claims;
    assert_eq!(claims["iss"], server.issuer.as_str());
    Jwt { header, claims }
}

/// What a token says, unverified.
pub fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap_or_else(|| panic!("not a JWT: {token}"));
    serde_json::from_slice(&mooring::jose::from_base64url(body).expect("base64url")).expect("claims")
}
