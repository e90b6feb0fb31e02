use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::oauth::hostile;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The smallest acceptable client, with `changes` laid over it.
fn client(changes: &Value) -> ClientMetadata {
    let mut json = json!({ "client_id": "rp", "redirect_uris": ["https://rp.example/cb"] });
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
    }
    ClientMetadata::parse(&json).unwrap()
}

#[track_caller]
fn accepted(changes: &Value) {
    client(changes).validate().unwrap();
}

#[track_caller]
fn refused(changes: &Value, member: &str) {
    let error = client(changes).validate().unwrap_err();
    assert!(error.description.starts_with(&format!("{member}: ")), "{}", error.description);
    let code = if member == "redirect_uris" { ErrorCode::InvalidRedirectUri } else { ErrorCode::InvalidClientMetadata };
    assert_eq!(error.code, code);
}

#[test]
fn a_client_that_says_nothing_has_the_defaults_of_rfc_7591() {
    let client = client(&json!({}));
    assert_eq!(client.grant_types, ["authorization_code"]);
    assert_eq!(client.response_types, ["code"]);
    assert_eq!(client.auth_method(), AuthMethod::ClientSecretBasic);
    assert_eq!(client.id_token_signed_response_alg, SigningAlgorithm::Rs256);
    assert_eq!(client.access_token_format, AccessTokenFormat::Opaque);
    assert_eq!(client.introspection, Introspection::Own);
    assert!(client.require_pkce && !client.visitors && !client.require_auth_time);
    client.validate().unwrap();
}

#[test]
fn the_list_of_members_is_that_of_the_type() {
    let full = ClientMetadata {
        client_id: Some(String::new()),
        client_secret: Some(String::new()),
        client_name: Some(String::new()),
        client_uri: Some(String::new()),
        logo_uri: Some(String::new()),
        policy_uri: Some(String::new()),
        tos_uri: Some(String::new()),
        contacts: vec![String::new()],
        post_logout_redirect_uris: vec![String::new()],
        token_endpoint_auth_method: Some(AuthMethod::None),
        token_endpoint_auth_signing_alg: Some(String::new()),
        scope: Some(String::new()),
        jwks: Some(json!({})),
        jwks_uri: Some(String::new()),
        userinfo_signed_response_alg: Some(SigningAlgorithm::EdDsa),
        introspection_signed_response_alg: Some(SigningAlgorithm::EdDsa),
        sector_identifier_uri: Some(String::new()),
        default_max_age: Some(0),
        default_acr_values: vec![String::new()],
        request_object_signing_alg: Some(String::new()),
        request_uris: vec![String::new()],
        initiate_login_uri: Some(String::new()),
        backchannel_logout_uri: Some(String::new()),
        frontchannel_logout_uri: Some(String::new()),
        allowed_origins: vec![String::new()],
        assertion_audience: Some(AssertionAudience::Issuer),
        ..ClientMetadata::default()
    };
    let json = serde_json::to_value(&full).unwrap();
    let of_the_type = json.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>();
    let listed = MEMBERS.iter().map(|member| member.name).collect::<BTreeSet<_>>();
    assert_eq!(of_the_type, listed);
    assert_eq!(listed.len(), MEMBERS.len());
}

#[test]
fn unknown_tagged_and_null_members_are_passed_over() {
    let json = json!({ "redirect_uris": ["https://rp.example/cb"], "software_id": 7, "client_name": "RP",
        "client_name#de": "Vertrauende Partei", "logo_uri": null, "contacts": null });
    let client = ClientMetadata::from_json(&json).unwrap();
    assert_eq!(client.client_name.as_deref(), Some("RP"));
    assert_eq!((client.logo_uri, client.contacts), (None, vec![]));
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    let client = client(&json!({ "scope": "openid", "client_secret": SECRET, "default_max_age": 5 }));
    assert_eq!(ClientMetadata::parse(&serde_json::to_value(&client).unwrap()).unwrap(), client);
}

#[test]
fn a_member_of_the_wrong_type_is_named() {
    let parse = |json: Value| ClientMetadata::from_json(&json).unwrap_err();
    let error = parse(json!({ "redirect_uris": "https://rp.example/cb" }));
    assert_eq!(error.code, ErrorCode::InvalidRedirectUri);
    assert!(error.description.starts_with("redirect_uris: "));
    let error = parse(json!({ "token_endpoint_auth_method": "tls_client_auth" }));
    assert_eq!(error.code, ErrorCode::InvalidClientMetadata);
    assert!(error.description.contains("token_endpoint_auth_method") && error.description.contains("private_key_jwt"));
    assert!(parse(json!({ "subject_type": "ephemeral" })).description.starts_with("subject_type: "));
    assert!(parse(json!({ "default_max_age": -1 })).description.starts_with("default_max_age: "));
    assert!(parse(json!({ "id_token_signed_response_alg": "none" })).description.contains("id_token"));
    assert!(!parse(json!({ "client_secret": 987_654 })).description.contains("987654"));
    assert!(parse(json!([])).description.contains("JSON object"));
}

#[test]
fn descriptions_keep_to_the_characters_of_rfc_6749() {
    let error = client(&json!({ "scope": "a\"b\\cü" })).validate().unwrap_err();
    assert!(error.description.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
}

#[test]
fn redirect_uris_that_lead_back_to_the_client_are_accepted() {
    for uri in [
        "https://rp.example/cb?dummy1=lorem&dummy2=ipsum",
        "https://rp.example",
        "http://localhost:3000/cb",
        "http://app.localhost/cb",
        "http://127.0.0.1/cb",
        "http://127.8.8.8:1/cb",
        "http://[::1]:9/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
    ] {
        accepted(&json!({ "redirect_uris": [uri], "post_logout_redirect_uris": [uri] }));
    }
    accepted(&json!({ "redirect_uris": ["myapp://cb"], "application_type": "native" }));
}

#[test]
fn redirect_uris_that_could_lead_elsewhere_are_refused() {
    for uri in [
        "/cb",
        "rp.example/cb",
        "",
        "https://rp.example/cb#",
        "https://rp.example/cb#x",
        "http://rp.example/cb",
        "http://localhost.evil.example/cb",
        "http://10.0.0.1/cb",
        "https:rp.example/cb",
        "https:///rp.example/cb",
        "https://*.rp.example/cb",
        "https://user@rp.example/cb",
        "https://user:word@rp.example/cb",
        "https://rp.example\\@evil.example/cb",
        "https://rp.example/c b",
        "https://rp.example/cb\n",
        "https://rp.exämple/cb",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "blob:https://rp.example/1",
        "view-source:https://rp.example",
        "urn:ietf:wg:oauth:2.0:oob",
        "myapp://cb",
        "com.example.app:",
    ] {
        refused(&json!({ "redirect_uris": [uri] }), "redirect_uris");
        refused(&json!({ "post_logout_redirect_uris": [uri] }), "post_logout_redirect_uris");
    }
    for uri in ["javascript:alert(1)", "data:text/html,x", "file:///x", "intent://x"] {
        refused(&json!({ "redirect_uris": [uri], "application_type": "native" }), "redirect_uris");
    }
    refused(&json!({ "redirect_uris": [format!("https://rp.example/{}", "x".repeat(2048))] }), "redirect_uris");
}

#[test]
fn a_code_client_has_a_redirect_uri_and_a_service_needs_none() {
    refused(&json!({ "redirect_uris": [] }), "redirect_uris");
    accepted(&json!({ "redirect_uris": [], "grant_types": ["client_credentials"], "response_types": [] }));
    refused(&json!({ "response_types": [] }), "response_types");
}

#[test]
fn grant_and_response_types_are_of_the_known_ones() {
    accepted(&json!({ "grant_types": ["authorization_code", "refresh_token", "client_credentials"] }));
    refused(&json!({ "grant_types": ["authorization_code", "implicit"] }), "grant_types");
    refused(&json!({ "grant_types": ["password"] }), "grant_types");
    refused(&json!({ "grant_types": [] }), "grant_types");
    refused(&json!({ "response_types": ["code", "id_token"] }), "response_types");
    let named = client(&json!({ "grant_types": ["implicit"] })).validate().unwrap_err();
    assert!(named.description.contains("implicit"));
}

#[test]
fn a_public_client_cannot_do_what_needs_a_secret() {
    accepted(&json!({ "token_endpoint_auth_method": "none" }));
    refused(
        &json!({ "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "client_credentials"] }),
        "grant_types",
    );
    refused(&json!({ "token_endpoint_auth_method": "none", "require_pkce": false }), "require_pkce");
    refused(&json!({ "token_endpoint_auth_method": "none", "introspection": "any" }), "introspection");
    refused(&json!({ "token_endpoint_auth_method": "none", "client_secret": SECRET }), "client_secret");
    accepted(&json!({ "require_pkce": false, "introspection": "any" }));
}

#[test]
fn a_declared_secret_is_long_and_never_shown() {
    accepted(&json!({ "client_secret": SECRET }));
    refused(&json!({ "client_secret": &SECRET[1..] }), "client_secret");
    refused(&json!({ "client_secret": format!("{SECRET}\n") }), "client_secret");
    let shown = format!("{:?}", client(&json!({ "client_secret": SECRET })));
    assert!(shown.contains("client_secret") && !shown.contains(SECRET));
    let error = client(&json!({ "client_secret": "hunter2" })).validate().unwrap_err();
    assert!(!error.description.contains("hunter2"));
}

#[test]
fn private_key_jwt_needs_keys_from_one_place() {
    let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" }] });
    let method = "private_key_jwt";
    accepted(&json!({ "token_endpoint_auth_method": method, "jwks": jwks }));
    accepted(&json!({ "token_endpoint_auth_method": method, "jwks_uri": "https://rp.example/jwks" }));
    refused(&json!({ "token_endpoint_auth_method": method }), "jwks");
    refused(&json!({ "jwks": jwks, "jwks_uri": "https://rp.example/jwks" }), "jwks");
    refused(&json!({ "token_endpoint_auth_method": method, "jwks": jwks, "client_secret": SECRET }), "client_secret");
    refused(&json!({ "token_endpoint_auth_signing_alg": "HS256" }), "token_endpoint_auth_signing_alg");
    accepted(&json!({ "token_endpoint_auth_signing_alg": "PS256" }));
}

#[test]
fn key_sets_hold_public_keys_only() {
    for keys in [
        json!([]),
        json!({ "keys": [] }),
        json!({ "keys": [{}] }),
        json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] }),
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "d" }] }),
        json!({ "keys": [{ "kty": "RSA", "n": "n", "e": "AQAB" }, { "kty": "RSA", "n": "n", "e": "AQAB", "p": "p" }] }),
        json!({ "keys": [{ "kty": "XYZ" }] }),
    ] {
        refused(&json!({ "jwks": keys }), "jwks");
    }
}

#[test]
fn links_are_web_addresses_and_what_is_called_is_https() {
    for member in ["client_uri", "logo_uri", "policy_uri", "tos_uri"] {
        accepted(&json!({ member: "http://rp.example/#about" }));
        refused(&json!({ member: "javascript:alert(1)" }), member);
        refused(&json!({ member: "rp.example" }), member);
    }
    for member in
        ["jwks_uri", "sector_identifier_uri", "initiate_login_uri", "backchannel_logout_uri", "frontchannel_logout_uri"]
    {
        accepted(&json!({ member: "https://rp.example/x?y=z" }));
        refused(&json!({ member: "http://rp.example/x" }), member);
        refused(&json!({ member: "https://rp.example/x#y" }), member);
    }
    accepted(&json!({ "backchannel_logout_uri": "http://127.0.0.1:4000/x" }));
    refused(&json!({ "frontchannel_logout_uri": "https://other.example/x" }), "frontchannel_logout_uri");
    // No page can be allowed to frame these.
    for (origin, may) in [
        ("http://127.0.0.1:4000", true),
        ("http://localhost:4000", true),
        ("http://[::1]:4000", false),
        ("https://10.0.0.1", false),
        ("http://127.0.0.2:4000", false),
    ] {
        let client =
            json!({ "redirect_uris": [format!("{origin}/cb")], "frontchannel_logout_uri": format!("{origin}/x") });
        if may { accepted(&client) } else { refused(&client, "frontchannel_logout_uri") }
    }
}

#[test]
fn allowed_origins_are_origins() {
    accepted(&json!({ "allowed_origins": [
        "https://spa.example", "http://localhost:5173", "http://tauri.localhost", "capacitor://localhost",
        "tauri://localhost", "ionic://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0c9e4d2a-8d5f-4b7e-9a5e-2f1d3c4b5a69", "safari-web-extension://8B1A7A4E-0000-4000-8000-3C2E1D0F0A11",
        "app://.", "com.example.app://host:8080",
    ] }));
    for origin in [
        "*",
        "null",
        "https://spa.example/",
        "https://spa.example:443",
        "http://spa.example",
        "spa.example",
        "capacitor://localhost/",
        "capacitor://localhost/app",
        "Capacitor://localhost",
        "capacitor://",
        "capacitor:localhost",
        "capacitor:///localhost",
        "chrome-extension://*",
        "file://",
        "file:///app",
        "data:text/html,x",
        "ws://localhost",
        "capacitor://a@localhost",
        "capacitor://localhost?x",
        "capacitor://localhost:",
        "capacitor://[::1]",
    ] {
        refused(&json!({ "allowed_origins": [origin] }), "allowed_origins");
    }
}

#[test]
fn ids_and_scopes_keep_to_their_characters() {
    for id in ["a\nb", "ü", &"x".repeat(256)] {
        refused(&json!({ "client_id": id }), "client_id");
    }
    accepted(&json!({ "scope": "openid payments:write" }));
    refused(&json!({ "scope": "openid pay\"ments" }), "scope");
}

#[test]
fn request_objects_are_told_in_metadata() {
    let client = |members: Value| {
        let mut metadata = json!({ "redirect_uris": ["https://rp.example/cb"] });
        metadata.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        ClientMetadata::from_json(&metadata)
    };
    for good in [
        json!({ "request_object_signing_alg": "PS256" }),
        json!({ "request_object_signing_alg": "none" }),
        json!({ "request_uris": ["https://rp.example/r", "https://rp.example/r#version", "http://127.0.0.1:1/r"] }),
        json!({ "require_signed_request_object": true, "require_pushed_authorization_requests": true }),
        json!({ "authorization_signed_response_alg": "ES256" }),
    ] {
        assert!(client(good.clone()).is_ok(), "{good}");
    }
    for (wrong, member) in [
        (json!({ "request_object_signing_alg": "HS256" }), "request_object_signing_alg"),
        (json!({ "request_object_signing_alg": "NONE" }), "request_object_signing_alg"),
        (
            json!({ "request_object_signing_alg": "none", "require_signed_request_object": true }),
            "request_object_signing_alg",
        ),
        (json!({ "request_uris": ["http://rp.example/r"] }), "request_uris"),
        (json!({ "request_uris": ["file:///etc/passwd"] }), "request_uris"),
        (json!({ "request_uris": ["https://u:p@rp.example/r"] }), "request_uris"),
        (json!({ "request_uris": ["https://rp.example/r#a b"] }), "request_uris"),
        (json!({ "request_uris": vec!["https://rp.example/r"; 21] }), "request_uris"),
        (json!({ "authorization_signed_response_alg": "none" }), "authorization_signed_response_alg"),
    ] {
        let error = client(wrong.clone()).unwrap_err();
        assert!(error.description.starts_with(member), "{wrong}: {}", error.description);
    }
}

const NAMES: &[&str] = &[
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "response_types",
    "token_endpoint_auth_method",
    "client_name",
    "logo_uri",
    "jwks",
    "jwks_uri",
    "keys",
    "kty",
    "scope",
    "contacts",
    "default_max_age",
    "default_acr_values",
    "subject_type",
    "sector_identifier_uri",
    "application_type",
    "initiate_login_uri",
    "frontchannel_logout_uri",
    "allowed_origins",
    "client_secret",
    "request_uris",
    "request_object_signing_alg",
];

proptest! {
    #[test]
    fn whatever_comes_is_understood_or_refused(
        said in hostile::object(NAMES, hostile::json(NAMES)), uri in hostile::text(), other in hostile::text(),
    ) {
        let mut plausible = json!({ "redirect_uris": [uri, "https://rp.example/cb"], "client_name": other, "scope": other });
        for (name, value) in &said {
            plausible[name.as_str()] = value.clone();
        }
        for json in [Value::Object(said), plausible, json!({ "redirect_uris": [other], "tos_uri": uri })] {
            match ClientMetadata::from_json(&json) {
                // What is accepted can be kept, and is as acceptable when it is read again.
                Ok(read) => prop_assert_eq!(ClientMetadata::from_json(&serde_json::to_value(&read).unwrap()), Ok(read)),
                Err(error) => {
                    prop_assert!(matches!(error.code, ErrorCode::InvalidRedirectUri | ErrorCode::InvalidClientMetadata));
                    let allowed = |octet: u8| matches!(octet, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                    prop_assert!(error.description.bytes().all(allowed), "{}", error.description);
                }
            }
        }
    }
}
