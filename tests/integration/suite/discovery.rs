//! The discovery document, as the suite reads it.

use serde_json::Value;

use crate::support::{Answer, Server};

#[tokio::test]
async fn oidcc_discovery_endpoint_verification() {
    let server = Server::usual().await;
    let answer = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await;
    let document = answer.ok();
    assert_eq!(document["issuer"], server.issuer);
    let holds = |name: &str, wanted: &[&str]| {
        let listed = document[name].as_array().unwrap_or_else(|| panic!("{name}: {document}"));
        assert!(wanted.iter().all(|value| listed.iter().any(|one| one == value)), "{name}: {listed:?}");
        assert!(!listed.is_empty() && listed.iter().all(Value::is_string), "{name}: {listed:?}");
    };
    holds("response_types_supported", &["code"]);
    holds("grant_types_supported", &["authorization_code", "refresh_token"]);
    holds("subject_types_supported", &["public"]);
    holds("id_token_signing_alg_values_supported", &["RS256"]);
    holds("token_endpoint_auth_methods_supported", &["client_secret_basic", "client_secret_post", "private_key_jwt"]);
    holds("token_endpoint_auth_signing_alg_values_supported", &["RS256", "ES256"]);
    holds("code_challenge_methods_supported", &["S256"]);
    holds("scopes_supported", &["openid", "profile", "email", "address", "phone", "offline_access"]);
    holds("claims_supported", &["sub", "name", "email", "address", "phone_number", "updated_at", "auth_time", "acr"]);
    holds("prompt_values_supported", &["none", "login", "consent", "select_account"]);
    holds("ui_locales_supported", &["en"]);
    assert!(!document["id_token_signing_alg_values_supported"].as_array().unwrap().contains(&"none".into()));
    assert_eq!(document["claims_parameter_supported"], true);
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    // Whatever is named is below the issuer, and answers.
    for (name, value) in document.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let url = value.as_str().unwrap();
            assert!(url.starts_with(&server.issuer), "{name}: {url}");
            assert_ne!(Answer::of(server.http().get(url)).await.status, 404, "{name}: {url}");
        }
    }
    let answer = Answer::of(server.http().get(server.endpoint("jwks_uri"))).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jwk-set+json"));
    let jwks: Value = serde_json::from_str(&answer.text).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    for key in keys {
        assert!(key["kid"].is_string() && key["use"] == "sig" && key["alg"].is_string(), "{key}");
        assert!(["d", "p", "q", "k"].iter().all(|private| key.get(private).is_none()), "{key}");
    }
    let mut kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), keys.len(), "each has its own kid");
}
