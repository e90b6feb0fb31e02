//! What a client may ask of the server that this one does not do. RFC 7591 §2 lets a server ignore members; but a client that
//! asks for bound tokens or encrypted answers, and is registered without a word, relies on what it does not get.

use serde_json::{Map, Value};

use super::Fault;

/// Members that ask for something, and what it is.
const DEMANDS: &[(&str, &str)] = &[
    ("dpop_bound_access_tokens", "access tokens are not bound by DPoP (RFC 9449)"),
    ("tls_client_certificate_bound_access_tokens", "access tokens are not bound to certificates (RFC 8705)"),
    ("tls_client_auth_subject_dn", "clients do not authenticate by certificates (RFC 8705)"),
    ("tls_client_auth_san_dns", "clients do not authenticate by certificates (RFC 8705)"),
    ("tls_client_auth_san_uri", "clients do not authenticate by certificates (RFC 8705)"),
    ("tls_client_auth_san_ip", "clients do not authenticate by certificates (RFC 8705)"),
    ("tls_client_auth_san_email", "clients do not authenticate by certificates (RFC 8705)"),
    ("authorization_details_types", "authorization_details (RFC 9396) is not supported"),
    ("backchannel_token_delivery_mode", "backchannel authentication (CIBA) is not supported"),
    ("backchannel_client_notification_endpoint", "backchannel authentication (CIBA) is not supported"),
    ("backchannel_authentication_request_signing_alg", "backchannel authentication (CIBA) is not supported"),
    ("backchannel_user_code_parameter", "backchannel authentication (CIBA) is not supported"),
];

/// How the members end that ask for encryption: of ID tokens, userinfo, introspection, authorization answers, request objects,
/// and what may come.
const ENCRYPTION: [&str; 4] =
    ["_encrypted_response_alg", "_encrypted_response_enc", "_encryption_alg", "_encryption_enc"];

/// Refuses metadata that asks for what is not done. `false`, and what counts as left out, asks for nothing.
pub(super) fn refuse_unmet(said: &Map<String, Value>) -> Result<(), Fault> {
    said.iter().filter(|(_, value)| asks(value)).try_for_each(|(name, _)| match unmet(name) {
        Some(problem) => Err(Fault::new(name.clone(), format!("{problem}: leave it out"))),
        None => Ok(()),
    })
}

/// What the member asks for that this server does not do.
pub(super) fn unmet(name: &str) -> Option<&'static str> {
    if ENCRYPTION.iter().any(|end| name.ends_with(end)) {
        return Some("encryption is not supported");
    }
    DEMANDS.iter().find(|(demand, _)| *demand == name).map(|(_, problem)| *problem)
}

fn asks(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => list.iter().any(asks),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (name, value) in [
            ("dpop_bound_access_tokens", json!(true)),
            ("tls_client_certificate_bound_access_tokens", json!(true)),
            ("tls_client_certificate_bound_access_tokens", json!("true")),
            ("tls_client_auth_san_dns", json!("rp.example")),
            ("id_token_encrypted_response_alg", json!("RSA-OAEP")),
            ("id_token_encrypted_response_enc", json!("A256GCM")),
            ("userinfo_encrypted_response_alg", json!("ECDH-ES")),
            ("introspection_encrypted_response_alg", json!("ECDH-ES")),
            ("authorization_encrypted_response_enc", json!("A128GCM")),
            ("request_object_encryption_alg", json!("RSA-OAEP-256")),
            ("request_object_encryption_enc", json!("A128GCM")),
            ("authorization_details_types", json!(["payment"])),
        ] {
            let said = json!({ name: value });
            assert_eq!(refuse_unmet(said.as_object().unwrap()).unwrap_err().member, name, "{said}");
        }
    }

    #[test]
    fn what_asks_for_nothing_passes() {
        let said = json!({ "dpop_bound_access_tokens": false, "tls_client_certificate_bound_access_tokens": null,
            "id_token_encrypted_response_alg": "", "authorization_details_types": [""], "software_id": "x",
            "client_name": "encryption_alg" });
        assert_eq!(refuse_unmet(said.as_object().unwrap()), Ok(()));
    }
}
