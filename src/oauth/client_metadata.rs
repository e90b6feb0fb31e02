//! What is known of a client: the members of RFC 7591 §2 and OpenID Connect Registration 1.0 §2, and the few of ours.
//!
//! One type serves the configuration file (`[[client]]`), `mooring client add` and dynamic registration. It is not
//! the stored row, and it grants nothing by itself: what a client may not give itself is taken away by
//! [`ClientMetadata::self_registered`].
//!
//! Invariant: metadata that passed [`ClientMetadata::check`] can be acted on without looking at its form again.

mod demands;
mod members;
mod requests;
mod rules;
mod sector;
mod self_registered;
#[cfg(test)]
mod tests;
mod unknown;
mod values;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use members::{MEMBERS, Member};
pub use rules::{CLIENT_SIGNATURES, is_loopback, is_scope_token};
pub use self_registered::Terms;
pub use unknown::{Unknown, unknown_member};
pub use values::{
    AccessTokenFormat, ApplicationType, AssertionAudience, AuthMethod, Introspection, SigningAlgorithm, SubjectType,
};

use super::{Error, ErrorCode};

/// The only grant types a client can be registered for.
pub const GRANT_TYPES: &[&str] = &["authorization_code", "refresh_token", "client_credentials"];

/// The metadata of one client. What was not said has its default; see [`MEMBERS`] for the meaning of each.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the specifications' members are what they are")]
pub struct ClientMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    pub redirect_uris: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    pub grant_types: Vec<String>,
    pub response_types: Vec<String>,
    /// Absent: `client_secret_basic`, but the secret may come in the body as well. See [`ClientMetadata::auth_method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<AuthMethod>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// Absent: userinfo answers plain JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_signed_response_alg: Option<SigningAlgorithm>,
    /// Absent: RS256. It is used where the caller asks for a JWT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_signed_response_alg: Option<SigningAlgorithm>,
    pub subject_type: SubjectType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier_uri: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_max_age: Option<u32>,
    pub require_auth_time: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_acr_values: Vec<String>,
    /// Absent: any that we announce (OIDC Registration §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object_signing_alg: Option<String>,
    pub require_signed_request_object: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_uris: Vec<String>,
    pub require_pushed_authorization_requests: bool,
    pub authorization_signed_response_alg: SigningAlgorithm,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiate_login_uri: Option<String>,
    pub application_type: ApplicationType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    pub backchannel_logout_session_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontchannel_logout_uri: Option<String>,
    pub frontchannel_logout_session_required: bool,
    pub require_pkce: bool,
    pub access_token_format: AccessTokenFormat,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    pub visitors: bool,
    pub introspection: Introspection,
    pub authorization_response_iss: bool,
    /// Absent: not said yet. A stored client that says nothing was made before this member and has `endpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assertion_audience: Option<AssertionAudience>,
    /// Whether ID tokens have the claims of the granted scopes (OIDC Core §2 allows more than its own).
    pub id_token_claims: bool,
}

impl Default for ClientMetadata {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            client_name: None,
            client_uri: None,
            logo_uri: None,
            policy_uri: None,
            tos_uri: None,
            contacts: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            // RFC 7591 §2: the three defaults of a client that says nothing.
            grant_types: vec!["authorization_code".to_owned()],
            response_types: vec!["code".to_owned()],
            token_endpoint_auth_method: None,
            token_endpoint_auth_signing_alg: None,
            scope: None,
            jwks: None,
            jwks_uri: None,
            id_token_signed_response_alg: SigningAlgorithm::Rs256,
            userinfo_signed_response_alg: None,
            introspection_signed_response_alg: None,
            subject_type: SubjectType::Public,
            sector_identifier_uri: None,
            default_max_age: None,
            require_auth_time: false,
            default_acr_values: Vec::new(),
            request_object_signing_alg: None,
            require_signed_request_object: false,
            request_uris: Vec::new(),
            require_pushed_authorization_requests: false,
            authorization_signed_response_alg: SigningAlgorithm::Rs256,
            initiate_login_uri: None,
            application_type: ApplicationType::Web,
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            frontchannel_logout_uri: None,
            frontchannel_logout_session_required: false,
            require_pkce: true,
            access_token_format: AccessTokenFormat::Opaque,
            allowed_origins: Vec::new(),
            visitors: false,
            introspection: Introspection::Own,
            authorization_response_iss: true,
            assertion_audience: None,
            id_token_claims: true,
        }
    }
}

/// Shows everything but the secret.
impl fmt::Debug for ClientMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Self { client_secret: self.client_secret.as_ref().map(|_| "…".to_owned()), ..self.clone() };
        f.write_str("ClientMetadata ")?;
        f.write_str(&serde_json::to_string(&shown).map_err(|_| fmt::Error)?)
    }
}

/// Which member is wrong, and why. It never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub member: String,
    pub problem: String,
}

impl Fault {
    pub fn new(member: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { member: member.into(), problem: problem.into() }
    }
}

impl From<Fault> for Error {
    /// RFC 7591 §3.2.2: redirection URIs have a code of their own.
    fn from(fault: Fault) -> Self {
        let code = match fault.member.as_str() {
            "redirect_uris" => ErrorCode::InvalidRedirectUri,
            _ => ErrorCode::InvalidClientMetadata,
        };
        // RFC 6749 §5.2: error_description has neither quotation marks nor backslashes, and is ASCII.
        let said = format!("{}: {}", fault.member, fault.problem)
            .chars()
            .map(|c| match c {
                '"' => '\'',
                '\\' => '/',
                ' '..='~' => c,
                _ => '?',
            })
            .collect::<String>();
        Self::new(code, said)
    }
}

/// Whether a member with this value says nothing.
#[must_use]
pub fn is_left_out(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// PostgreSQL's `text` and `jsonb` have no place for it.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

impl ClientMetadata {
    /// Reads a JSON object. Unknown members are ignored (RFC 7591 §2), language-tagged ones too (§2.2). `null` (RFC 7592 §2.2)
    /// and an empty string count as left out: many libraries write every member that they know.
    ///
    /// Form only: [`Self::check`] follows.
    pub fn parse(json: &Value) -> Result<Self, Fault> {
        let Value::Object(said) = json else {
            return Err(Fault::new("client metadata", "must be a JSON object"));
        };
        let mut kept = serde_json::Map::new();
        for (name, value) in said.iter().filter(|(_, value)| !is_left_out(value)) {
            // Each member is read alone first, since serde does not tell which one it stumbled over.
            let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
            if let Err(error) = Self::deserialize(alone) {
                let problem = match name.as_str() {
                    "client_secret" => "must be a string".to_owned(),
                    _ => error.to_string(),
                };
                return Err(Fault::new(name.clone(), problem));
            }
            if holds_nul(value) {
                return Err(Fault::new(name.clone(), "has the character U+0000, which cannot be stored"));
            }
            kept.insert(name.clone(), value.clone());
        }
        Self::deserialize(Value::Object(kept)).map_err(|error| Fault::new("client metadata", error.to_string()))
    }

    /// [`Self::parse`] and [`Self::check`], in the words of RFC 7591 §3.2.2.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let metadata = Self::parse(json)?;
        metadata.check()?;
        Ok(metadata)
    }

    /// Refuses metadata that asks for what this server does not do, such as tokens bound by DPoP.
    pub fn check_demands(json: &Value) -> Result<(), Error> {
        Ok(json.as_object().map_or(Ok(()), demands::refuse_unmet)?)
    }

    /// Whether the members are acceptable, each and together: `invalid_redirect_uri` or `invalid_client_metadata`
    /// with a description that names the member.
    pub fn validate(&self) -> Result<(), Error> {
        self.check().map_err(Error::from)
    }

    /// [`Self::validate`] for those who want the member apart.
    pub fn check(&self) -> Result<(), Fault> {
        rules::check(self)
    }

    /// Whether it cannot keep a secret (RFC 6749 §2.1).
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.auth_method() == AuthMethod::None
    }

    /// How the client authenticates (RFC 7591 §2: by default with its secret in the `Authorization` header).
    #[must_use]
    pub fn auth_method(&self) -> AuthMethod {
        self.token_endpoint_auth_method.unwrap_or(AuthMethod::ClientSecretBasic)
    }

    /// Whether the client may authenticate by `method`: by its own, or, where it names none, with its secret in the header or
    /// the body. OAuth 2.1 §2.4.1: the server MUST support the body, and MAY support the header.
    #[must_use]
    pub fn accepts(&self, method: AuthMethod) -> bool {
        self.auth_method() == method || (self.token_endpoint_auth_method.is_none() && method.uses_secret())
    }

    /// What is registered, with the defaults in their places (RFC 7591 §3.2.1).
    #[must_use]
    pub fn with_defaults(&self) -> Self {
        Self { token_endpoint_auth_method: Some(self.auth_method()), ..self.clone() }
    }

    /// Whether scripts of this origin are the client's: declared, or where a redirect URI leads.
    #[must_use]
    pub fn has_origin(&self, origin: &str) -> bool {
        let of_redirects = self.redirect_uris.iter().filter_map(|uri| url::Url::parse(uri).ok());
        self.allowed_origins.iter().any(|allowed| allowed == origin)
            || of_redirects
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .any(|url| url.origin().ascii_serialization() == origin)
    }

    /// Whether it is registered for this grant type.
    #[must_use]
    pub fn has_grant(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|registered| registered == grant_type)
    }
}
