//! The discovery document: OpenID Connect Discovery 1.0 §3 and RFC 8414 §2, one document for both.
//!
//! It says what is there and nothing else. What exists comes from the lists the parts themselves keep (grant types,
//! authentication methods, scopes), so that announcing a thing and having it are the same act.

use serde_json::{Map, Value, json};

use super::{client_metadata::SubjectType, pkce, prompt::Prompt};

/// What the document is made of.
#[derive(Clone, Debug, Default)]
pub struct Provider<'a> {
    /// The issuer, exactly as it stands in tokens.
    pub issuer: &'a str,
    pub endpoints: Endpoints<'a>,
    pub scopes: &'a [&'a str],
    pub grant_types: &'a [&'a str],
    /// How clients authenticate at the token endpoint and at revocation.
    pub client_authentication_methods: &'a [&'a str],
    /// What client assertions may be signed with.
    pub client_assertion_algorithms: &'a [&'a str],
    /// What ID tokens, and signed answers of userinfo and introspection, are signed with.
    pub id_token_algorithms: &'a [&'a str],
    pub response_modes: &'a [&'a str],
    /// What answers in the `jwt` response modes are signed with.
    pub response_algorithms: &'a [&'a str],
    pub request_object_algorithms: &'a [&'a str],
    /// Whether request objects are fetched from where their clients have registered.
    pub request_by_reference: bool,
    pub acr_values: &'a [&'a str],
    pub claims: &'a [&'a str],
    pub ui_locales: &'a [&'a str],
}

/// Paths below the issuer, each beginning with a slash.
#[derive(Clone, Debug, Default)]
pub struct Endpoints<'a> {
    pub authorization: &'a str,
    pub pushed_authorization_request: &'a str,
    pub token: &'a str,
    pub userinfo: &'a str,
    pub jwks: &'a str,
    pub introspection: &'a str,
    pub revocation: &'a str,
    pub end_session: &'a str,
    /// Where clients register themselves; absent where they may not.
    pub registration: Option<&'a str>,
}

/// The URL of a path of ours: issuer and path with one slash between them.
pub fn url(issuer: &str, path: &str) -> String {
    format!("{}{path}", issuer.trim_end_matches('/'))
}

/// The paths on the issuer's host at which the document is found. For an issuer with a path, OpenID Connect Discovery
/// §4 appends the well-known suffix and RFC 8414 §3.1 inserts it; relying parties confuse the two, so each name
/// answers at both.
pub fn well_known_paths(issuer_path: &str) -> Vec<String> {
    let base = issuer_path.trim_end_matches('/');
    let mut paths = Vec::new();
    for name in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        paths.push(format!("{base}{name}"));
        if !base.is_empty() {
            paths.push(format!("{name}{base}"));
        }
    }
    paths
}

/// Makes the document.
pub fn document(provider: &Provider) -> Value {
    let at = |path: &str| url(provider.issuer, path);
    let endpoints = &provider.endpoints;
    // Introspection tells about tokens, so it is for clients that can prove who they are (RFC 7662 §2.1).
    let proving: Vec<_> =
        provider.client_authentication_methods.iter().copied().filter(|method| *method != "none").collect();
    let mut document = json!({
        "issuer": provider.issuer,
        "authorization_endpoint": at(endpoints.authorization),
        "pushed_authorization_request_endpoint": at(endpoints.pushed_authorization_request),
        // What a client may be registered to do is not asked of all (RFC 9126 §5, RFC 9101 §10.5).
        "require_pushed_authorization_requests": false,
        "require_signed_request_object": false,
        "token_endpoint": at(endpoints.token),
        "userinfo_endpoint": at(endpoints.userinfo),
        "jwks_uri": at(endpoints.jwks),
        "introspection_endpoint": at(endpoints.introspection),
        "revocation_endpoint": at(endpoints.revocation),
        "end_session_endpoint": at(endpoints.end_session),
        "scopes_supported": provider.scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": provider.response_modes,
        "authorization_signing_alg_values_supported": provider.response_algorithms,
        "grant_types_supported": provider.grant_types,
        "subject_types_supported": SubjectType::ALL.map(SubjectType::as_str),
        "id_token_signing_alg_values_supported": provider.id_token_algorithms,
        "userinfo_signing_alg_values_supported": provider.id_token_algorithms,
        "introspection_signing_alg_values_supported": provider.id_token_algorithms,
        "token_endpoint_auth_methods_supported": provider.client_authentication_methods,
        "introspection_endpoint_auth_methods_supported": proving,
        "revocation_endpoint_auth_methods_supported": provider.client_authentication_methods,
        "code_challenge_methods_supported": [pkce::METHOD],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": Prompt::ALL.map(Prompt::as_str),
        "acr_values_supported": provider.acr_values,
        "claim_types_supported": ["normal"],
        "claims_supported": provider.claims,
        "claims_parameter_supported": true,
        "request_parameter_supported": true,
        // Absent would mean true (OpenID Connect Discovery §3).
        "request_uri_parameter_supported": provider.request_by_reference,
        "require_request_uri_registration": provider.request_by_reference,
        "request_object_signing_alg_values_supported": provider.request_object_algorithms,
        "ui_locales_supported": provider.ui_locales,
        // OpenID Connect Back-Channel Logout §2.1 and Front-Channel Logout §3: always with `sid`.
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
    });
    // RFC 8414 §2: required where a method uses a signed JWT, and meaningless elsewhere.
    if provider.client_authentication_methods.contains(&"private_key_jwt") {
        for endpoint in ["token", "introspection", "revocation"] {
            document[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")] =
                json!(provider.client_assertion_algorithms);
        }
    }
    if let Some(path) = endpoints.registration {
        document["registration_endpoint"] = json!(at(path));
    }
    without_empty_lists(document)
}

/// RFC 8414 §3.2: claims with zero elements must be omitted.
fn without_empty_lists(document: Value) -> Value {
    let Value::Object(members) = document else { return document };
    let kept = members.into_iter().filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()));
    Value::Object(kept.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider<'static> {
        Provider {
            issuer: "https://op.example/tenant",
            endpoints: Endpoints {
                authorization: "/oauth/authorize",
                pushed_authorization_request: "/oauth/par",
                token: "/oauth/token",
                userinfo: "/oauth/userinfo",
                jwks: "/oauth/jwks",
                introspection: "/oauth/introspect",
                revocation: "/oauth/revoke",
                end_session: "/oauth/end_session",
                registration: None,
            },
            scopes: &["openid", "profile"],
            grant_types: &["authorization_code", "refresh_token", "client_credentials"],
            client_authentication_methods: &["none", "client_secret_basic", "private_key_jwt"],
            client_assertion_algorithms: &["RS256", "ES256"],
            id_token_algorithms: &["RS256", "ES256", "EdDSA"],
            response_modes: &["query", "form_post"],
            response_algorithms: &["RS256"],
            request_object_algorithms: &["RS256", "none"],
            request_by_reference: false,
            acr_values: &["urn:mooring:acr:pwd"],
            claims: &["sub", "name"],
            ui_locales: &["en"],
        }
    }

    #[test]
    fn required_members_are_there() {
        let document = document(&provider());
        // OpenID Connect Discovery §3 and RFC 8414 §2: REQUIRED.
        for name in [
            "issuer",
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "response_types_supported",
            "subject_types_supported",
            "id_token_signing_alg_values_supported",
        ] {
            assert!(document.get(name).is_some(), "{name}");
        }
        assert_eq!(document["issuer"], "https://op.example/tenant");
        assert_eq!(document["token_endpoint"], "https://op.example/tenant/oauth/token");
        assert_eq!(document["end_session_endpoint"], "https://op.example/tenant/oauth/end_session");
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(document["authorization_response_iss_parameter_supported"], true);
        assert_eq!(document["claims_parameter_supported"], true);
        assert_eq!(document["request_uri_parameter_supported"], false);
        assert_eq!(document["prompt_values_supported"], json!(["none", "login", "consent", "select_account"]));
    }

    #[test]
    fn what_does_not_exist_is_not_announced() {
        let document = document(&provider());
        for name in [
            "registration_endpoint",
            "check_session_iframe",
            "device_authorization_endpoint",
            "dpop_signing_alg_values_supported",
        ] {
            assert!(document.get(name).is_none(), "{name}");
        }
    }

    #[test]
    fn registration_is_announced_where_it_is() {
        let mut provider = provider();
        provider.endpoints.registration = Some("/oauth/register");
        assert_eq!(document(&provider)["registration_endpoint"], "https://op.example/tenant/oauth/register");
    }

    #[test]
    fn introspection_needs_a_client_that_proves_itself() {
        let document = document(&provider());
        let methods = |name: &str| document[format!("{name}_endpoint_auth_methods_supported")].clone();
        assert_eq!(methods("token"), json!(["none", "client_secret_basic", "private_key_jwt"]));
        assert_eq!(methods("revocation"), methods("token"));
        assert_eq!(methods("introspection"), json!(["client_secret_basic", "private_key_jwt"]));
    }

    #[test]
    fn assertion_algorithms_go_with_assertions() {
        let name = "token_endpoint_auth_signing_alg_values_supported";
        assert_eq!(document(&provider())[name], json!(["RS256", "ES256"]));
        let without = Provider { client_authentication_methods: &["none"], ..provider() };
        assert!(document(&without).get(name).is_none());
    }

    #[test]
    fn empty_lists_are_omitted() {
        assert!(document(&Provider { ui_locales: &[], ..provider() }).get("ui_locales_supported").is_none());
    }

    #[test]
    fn an_issuer_with_a_path_has_both_well_known_forms() {
        assert_eq!(
            well_known_paths("/tenant"),
            [
                "/tenant/.well-known/openid-configuration",
                "/.well-known/openid-configuration/tenant",
                "/tenant/.well-known/oauth-authorization-server",
                "/.well-known/oauth-authorization-server/tenant",
            ]
        );
        let plain = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
        assert_eq!(well_known_paths(""), plain);
        assert_eq!(well_known_paths("/"), plain);
        assert_eq!(url("https://op.example/", "/oauth/token"), "https://op.example/oauth/token");
    }
}
