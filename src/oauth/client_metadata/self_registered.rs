//! What a client that registers itself gets of what it asks for. RFC 7591 §2 lets the server replace what was asked for;
//! its answer says what was registered.
//!
//! Not for declared clients, nor for those that an operator adds: their word is the operator's.
//!
//! Invariant: what comes of this passed [`ClientMetadata::check`] and holds no privilege but what [`Terms`] name.

use serde_json::{Map, Value};

use super::{ApplicationType, ClientMetadata, Fault, GRANT_TYPES, demands, is_left_out, sector};
use crate::oauth::{
    Error, ErrorCode, Scope,
    scope::{GROUPS, OFFLINE_ACCESS, STANDARD_SCOPES, is_standard},
};

/// What is given to clients that register themselves.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whether confidential clients must use PKCE, too.
    pub require_pkce: bool,
    /// Whether the operator knows of the client, by an initial access token: it may act for itself (`client_credentials`),
    /// where no person is asked for consent, and ask for people's groups, which tell strangers who is who.
    pub known_to_operator: bool,
    /// Whether request objects may be unsigned.
    pub unsigned_requests: bool,
    /// Scopes beside the standard ones; none of them privileged.
    pub scopes: &'a [String],
}

/// Members that only an operator's word counts for; the id and the secret are the server's to make.
const NOT_ITS_OWN: &[&str] = &[
    "client_id",
    "client_secret",
    "require_pkce",
    "visitors",
    "introspection",
    "authorization_response_iss",
    "assertion_audience",
];

impl ClientMetadata {
    /// Reads what a client says of itself.
    pub fn self_registered(json: &Value, terms: &Terms<'_>) -> Result<Self, Error> {
        let Value::Object(said) = json else {
            return Err(Fault::new("client metadata", "must be a JSON object").into());
        };
        refuse_software_statement(said)?;
        demands::refuse_unmet(said)?;
        let own = said.iter().filter(|(name, _)| !NOT_ITS_OWN.contains(&name.as_str()));
        let own = own.filter_map(|(name, value)| Some((name.clone(), without_blanks(value)?)));
        let mut client = Self::parse(&Value::Object(own.collect()))?;
        // RFC 8252 §8.6: whoever listens on this machine can pose as it, whatever it calls itself. OIDC Registration
        // would have "web" for what is not said. RFC 7591 §2: the server may replace what was asked for.
        if client.is_public() && client.redirect_uris.iter().any(|uri| !uri.starts_with("https://")) {
            client.application_type = ApplicationType::Native;
        }
        give_flows(&mut client, terms)?;
        give_scope(&mut client, terms)?;
        let asks_for_pkce = said.get("require_pkce").and_then(Value::as_bool).unwrap_or_default();
        // OIDC Core §5.4: the claims of scopes come from userinfo. A client that reads nothing else says so.
        client.id_token_claims = said.get("id_token_claims").and_then(Value::as_bool).unwrap_or_default();
        client.require_pkce = terms.require_pkce || client.is_public() || asks_for_pkce;
        client.check()?;
        sector::check_notices(&client)?;
        if client.request_object_signing_alg.as_deref() == Some("none") && !terms.unsigned_requests {
            return Err(Fault::new("request_object_signing_alg", "none is not accepted by this server").into());
        }
        Ok(client)
    }
}

/// The value, and of a list what stands in it; `None`: it counts as left out.
fn without_blanks(value: &Value) -> Option<Value> {
    match value {
        Value::Array(list) => {
            let kept: Vec<_> = list.iter().filter(|one| !is_left_out(one)).cloned().collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        one => (!is_left_out(one)).then(|| one.clone()),
    }
}

/// RFC 7591 §3.2.2: one that cannot be read is invalid; one that can is of nobody whom this server has approved.
fn refuse_software_statement(said: &Map<String, Value>) -> Result<(), Error> {
    match said.get("software_statement") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(text)) if text.split('.').filter(|part| !part.is_empty()).count() == 3 => Err(Error::new(
            ErrorCode::UnapprovedSoftwareStatement,
            "software_statement: no issuer of software statements is approved here",
        )),
        Some(_) => {
            Err(Error::new(ErrorCode::InvalidSoftwareStatement, "software_statement: must be a JWT, as a string"))
        }
    }
}

/// Leaves of the asked for grant and response types those that exist. Many clients ask for everything they know, such as
/// the implicit grant; one that asks for nothing else is refused, since it could not work.
fn give_flows(client: &mut ClientMetadata, terms: &Terms<'_>) -> Result<(), Fault> {
    let is_given =
        |grant: &str| GRANT_TYPES.contains(&grant) && (terms.known_to_operator || grant != "client_credentials");
    client.grant_types.retain(|grant| is_given(grant));
    if client.grant_types.is_empty() {
        let given: Vec<_> = GRANT_TYPES.iter().copied().filter(|grant| is_given(grant)).collect();
        return Err(Fault::new("grant_types", format!("must name one of {}", given.join(", "))));
    }
    // RFC 7591 §2.1: the response type code goes with authorization_code, and so does what refreshes its tokens.
    if client.has_grant("authorization_code") {
        client.response_types.retain(|response| response == "code");
    } else if client.has_grant("refresh_token") {
        return Err(Fault::new("grant_types", "refresh_token needs authorization_code beside it"));
    } else {
        client.response_types.clear();
    }
    Ok(())
}

/// Of the asked for scopes those that may be had; the standard ones where nothing was asked for.
fn give_scope(client: &mut ClientMetadata, terms: &Terms<'_>) -> Result<(), Error> {
    let for_person = client.has_grant("authorization_code");
    let standard = |token: &str| for_person && is_standard(token) && (token != GROUPS || terms.known_to_operator);
    let given = match client.scope.as_deref() {
        None => STANDARD_SCOPES
            .iter()
            .map(|scope| scope.name)
            .filter(|token| standard(token) && *token != GROUPS)
            .filter(|token| *token != OFFLINE_ACCESS || client.has_grant("refresh_token"))
            .collect::<Vec<_>>()
            .join(" "),
        Some(asked) => {
            let asked = Scope::parse(asked).map_err(|error| Fault::new("scope", error.description))?;
            let given = asked.filtered(|token| standard(token) || terms.scopes.iter().any(|scope| scope == token));
            if given.is_empty() && !asked.is_empty() {
                return Err(Fault::new("scope", "none of these can be had by registering").into());
            }
            given.to_string()
        }
    };
    client.scope = Some(given);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oauth::client_metadata::{AuthMethod, Introspection, MEMBERS};

    const STRICT: Terms<'static> =
        Terms { require_pkce: true, known_to_operator: false, unsigned_requests: false, scopes: &[] };

    fn asked(changes: &Value, terms: &Terms<'_>) -> Result<ClientMetadata, Error> {
        let mut json = json!({ "redirect_uris": ["https://rp.example/cb"] });
        for (name, value) in changes.as_object().unwrap() {
            json[name] = value.clone();
        }
        ClientMetadata::self_registered(&json, terms)
    }

    #[track_caller]
    fn given(changes: &Value) -> ClientMetadata {
        asked(changes, &STRICT).unwrap()
    }

    #[track_caller]
    fn refused(changes: &Value, code: ErrorCode, member: &str) {
        let error = asked(changes, &STRICT).unwrap_err();
        assert_eq!(error.code, code, "{changes}: {}", error.description);
        assert!(error.description.starts_with(&format!("{member}: ")), "{changes}: {}", error.description);
    }

    #[test]
    fn a_client_cannot_give_itself_privileges() {
        let got = given(&json!({ "client_id": "mine", "client_secret": "x", "visitors": true, "introspection": "any",
            "require_pkce": false, "authorization_response_iss": false, "disabled": false }));
        assert_eq!((got.client_id, got.client_secret), (None, None));
        assert_eq!((got.visitors, got.introspection, got.require_pkce), (false, Introspection::Own, true));
        assert!(got.authorization_response_iss);
        assert_eq!(got.redirect_uris, ["https://rp.example/cb"]);
    }

    #[test]
    fn what_exists_of_the_asked_for_flows_is_given() {
        let got = given(&json!({ "grant_types": ["implicit", "authorization_code", "refresh_token", "password"],
            "response_types": ["id_token token", "code", "code id_token"] }));
        assert_eq!(got.grant_types, ["authorization_code", "refresh_token"]);
        assert_eq!(got.response_types, ["code"]);
        for nothing in [
            json!({ "grant_types": ["implicit"] }),
            json!({ "grant_types": ["client_credentials"] }),
            json!({ "grant_types": ["refresh_token"] }),
        ] {
            refused(&nothing, ErrorCode::InvalidClientMetadata, "grant_types");
        }
        for nothing in [json!(["token"]), json!(["id_token", "code token"])] {
            refused(&json!({ "response_types": nothing }), ErrorCode::InvalidClientMetadata, "response_types");
        }
    }

    #[test]
    fn a_client_acts_for_itself_only_where_the_terms_say_so() {
        let terms = Terms { known_to_operator: true, scopes: &["ships:read".to_owned()], ..STRICT };
        let machine = json!({ "grant_types": ["client_credentials"], "scope": "openid ships:read ships:burn" });
        let got = asked(&machine, &terms).unwrap();
        assert_eq!((got.grant_types, got.response_types), (vec!["client_credentials".to_owned()], vec![]));
        assert_eq!(got.scope.as_deref(), Some("ships:read"));
        let silent = asked(&json!({ "grant_types": ["client_credentials"] }), &terms).unwrap();
        assert_eq!(silent.scope.as_deref(), Some(""));
    }

    #[test]
    fn scopes_are_those_that_can_be_had() {
        assert_eq!(given(&json!({})).scope.as_deref(), Some("openid profile email address phone"));
        let both = json!({ "grant_types": ["authorization_code", "refresh_token"] });
        assert_eq!(given(&both).scope.as_deref(), Some("openid profile email address phone offline_access"));
        assert_eq!(given(&json!({ "scope": "email payments:write openid" })).scope.as_deref(), Some("email openid"));
        refused(&json!({ "scope": "payments:write" }), ErrorCode::InvalidClientMetadata, "scope");
        refused(&json!({ "scope": "open\"id" }), ErrorCode::InvalidClientMetadata, "scope");
    }

    #[test]
    fn groups_are_for_those_who_ask_by_name_where_the_terms_allow() {
        let asks = json!({ "scope": "openid groups" });
        assert_eq!(given(&asks).scope.as_deref(), Some("openid"));
        refused(&json!({ "scope": "groups" }), ErrorCode::InvalidClientMetadata, "scope");
        let terms = Terms { known_to_operator: true, ..STRICT };
        assert_eq!(asked(&asks, &terms).unwrap().scope.as_deref(), Some("openid groups"));
        let silent = asked(&json!({}), &terms).unwrap().scope;
        assert_eq!(silent.as_deref(), Some("openid profile email address phone"));
    }

    #[test]
    fn claims_stay_out_of_id_tokens_unless_asked_for() {
        assert!(!given(&json!({})).id_token_claims && !given(&json!({ "id_token_claims": null })).id_token_claims);
        assert!(given(&json!({ "id_token_claims": true })).id_token_claims);
        refused(&json!({ "id_token_claims": "true" }), ErrorCode::InvalidClientMetadata, "id_token_claims");
    }

    #[test]
    fn pkce_is_left_out_only_by_the_terms_and_only_for_confidential_clients() {
        let lax = Terms { require_pkce: false, ..STRICT };
        let public = json!({ "token_endpoint_auth_method": "none" });
        assert!(!asked(&json!({}), &lax).unwrap().require_pkce);
        assert!(asked(&json!({ "require_pkce": true }), &lax).unwrap().require_pkce);
        assert!(asked(&public, &lax).unwrap().require_pkce);
    }

    #[test]
    fn who_can_be_posed_as_is_native() {
        let type_of = |method: &str, uri: &str| {
            let said = json!({ "token_endpoint_auth_method": method, "redirect_uris": [uri] });
            given(&said).application_type
        };
        assert_eq!(type_of("none", "http://localhost:7777/cb"), ApplicationType::Native);
        assert_eq!(type_of("none", "com.example.app:/cb"), ApplicationType::Native);
        assert_eq!(type_of("none", "https://rp.example/cb"), ApplicationType::Web);
        assert_eq!(type_of("client_secret_basic", "http://localhost:7777/cb"), ApplicationType::Web);
        // A scheme without a dot, which cannot be a domain's: editors and desktop programs have them.
        for uri in
            ["cursor://anysphere.cursor-retrieval/oauth/callback", "vscode://publisher.name/callback", "myapp:/cb"]
        {
            assert_eq!(type_of("none", uri), ApplicationType::Native, "{uri}");
        }
        let said_web = json!({ "token_endpoint_auth_method": "none", "redirect_uris": ["cursor://x/cb"],
            "application_type": "web" });
        assert_eq!(given(&said_web).application_type, ApplicationType::Native);
        for (method, uri) in [
            ("client_secret_basic", "cursor://x/cb"),
            ("none", "javascript:alert(1)"),
            ("none", "ms-msdt:/id"),
            ("none", "http://rp.example/cb"),
        ] {
            let odd = json!({ "token_endpoint_auth_method": method, "redirect_uris": [uri] });
            refused(&odd, ErrorCode::InvalidRedirectUri, "redirect_uris");
        }
    }

    #[test]
    fn what_is_empty_counts_as_left_out() {
        let silent = given(&json!({}));
        for blank in [json!(""), json!(" "), json!(null), json!([]), json!([""]), json!([null])] {
            for member in MEMBERS.iter().map(|member| member.name).filter(|name| *name != "redirect_uris") {
                assert!(given(&json!({ member: blank })) == silent, "{member}: {blank}");
            }
        }
        let some = given(&json!({ "contacts": ["", "a@rp.example"], "grant_types": ["authorization_code", ""] }));
        assert_eq!((some.contacts.len(), some.grant_types.len()), (1, 1));
        refused(
            &json!({ "dpop_bound_access_tokens": true }),
            ErrorCode::InvalidClientMetadata,
            "dpop_bound_access_tokens",
        );
    }

    #[test]
    fn software_statements_are_of_nobody() {
        let statement = |value: Value| json!({ "software_statement": value });
        refused(&statement(json!("e30.e30.c2ln")), ErrorCode::UnapprovedSoftwareStatement, "software_statement");
        refused(&statement(json!("no jwt")), ErrorCode::InvalidSoftwareStatement, "software_statement");
        refused(&statement(json!({ "iss": "me" })), ErrorCode::InvalidSoftwareStatement, "software_statement");
        given(&statement(Value::Null));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        refused(
            &json!({ "redirect_uris": ["https://rp.example/cb#f"] }),
            ErrorCode::InvalidRedirectUri,
            "redirect_uris",
        );
        refused(&json!({ "redirect_uris": ["http://rp.example/cb"] }), ErrorCode::InvalidRedirectUri, "redirect_uris");
        refused(&json!({ "redirect_uris": [] }), ErrorCode::InvalidRedirectUri, "redirect_uris");
        for (member, value) in [
            ("id_token_signed_response_alg", json!("none")),
            ("token_endpoint_auth_method", json!("client_secret_jwt")),
            ("token_endpoint_auth_method", json!(7)),
            ("request_object_signing_alg", json!("none")),
            ("initiate_login_uri", json!("http://localhost/start")),
            ("logo_uri", json!("javascript:alert(1)")),
            ("policy_uri", json!("data:text/html,x")),
            ("client_name", json!("two\nlines")),
            ("client_name", json!("\u{202e}knaB")),
            ("client_name", json!("x".repeat(256))),
            ("contacts", json!(["\u{7}"])),
            ("client_uri", json!("https://rp.example/\0")),
            ("jwks", json!({ "keys": [{ "kty": "RSA", "n": "\0" }] })),
        ] {
            refused(&json!({ member: value }), ErrorCode::InvalidClientMetadata, member);
        }
        let both = json!({ "jwks_uri": "https://rp.example/jwks", "jwks": { "keys": [{ "kty": "RSA" }] } });
        refused(&both, ErrorCode::InvalidClientMetadata, "jwks");
        let error = ClientMetadata::self_registered(&json!(["x"]), &STRICT).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidClientMetadata);
        let silent = given(&json!({}));
        assert_eq!((silent.token_endpoint_auth_method, silent.auth_method()), (None, AuthMethod::ClientSecretBasic));
    }
}
