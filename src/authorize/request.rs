//! An authorization request, understood.

use super::Response;
use crate::{
    clients::Client,
    config,
    failure::Failure,
    oauth::{ClaimsRequest, Error, Parameters, Prompts, Scope, TrustedRedirectUri},
};
use chrono::TimeDelta;
use serde_json::Value;

/// What the checks look at.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub parameters: &'a Parameters,
    pub client: &'a Client,
    /// The scopes that the configuration declares.
    pub scopes: &'a [config::Scope],
    /// The resources that the configuration declares.
    pub resources: &'a [config::Resource],
    /// The public keys that we sign and ever signed with: an `id_token_hint` is one of ours, however old.
    pub own_jwks: &'a [Value],
    pub issuer: &'a str,
}

/// How the answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseMode {
    pub carrier: Carrier,
    /// As one parameter, a JWT (JARM §2.3).
    pub is_jwt: bool,
}

/// What carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    #[default]
    Query,
    FormPost,
    /// Errors only: where a client listens that asks for what is never sent there.
    Fragment,
}

/// The modes that can be asked for. A fragment would put the code where scripts and histories find it (RFC 9700 §2.1.2).
pub const RESPONSE_MODES: [(&str, ResponseMode); 5] = [
    ("query", ResponseMode { carrier: Carrier::Query, is_jwt: false }),
    ("form_post", ResponseMode { carrier: Carrier::FormPost, is_jwt: false }),
    // JARM §2.3.4: the default of the response type, which is the query for a code.
    ("jwt", ResponseMode { carrier: Carrier::Query, is_jwt: true }),
    ("query.jwt", ResponseMode { carrier: Carrier::Query, is_jwt: true }),
    ("form_post.jwt", ResponseMode { carrier: Carrier::FormPost, is_jwt: true }),
];

/// A request that passed every check.
#[derive(Clone, Debug)]
pub struct AuthorizationRequest {
    pub redirect_uri: TrustedRedirectUri,
    pub response_mode: ResponseMode,
    pub state: Option<String>,
    pub scope: Scope,
    /// What it names with `resource` (RFC 8707); empty: nothing.
    pub resources: Vec<String>,
    pub code_challenge: Option<String>,
    pub nonce: Option<String>,
    pub prompts: Prompts,
    pub max_age: Option<TimeDelta>,
    pub login_hint: Option<String>,
    /// The subjects that may be answered for: from `id_token_hint` and the `sub` of `claims`. `None`: any; empty: none.
    pub subjects: Option<Vec<String>>,
    pub claims: ClaimsRequest,
    /// Classes of which one is essential (OIDC Core §5.5.1.1); empty: none is.
    pub essential_acr: Vec<String>,
    /// An anonymous visitor is enough.
    pub as_visitor: bool,
}

impl AuthorizationRequest {
    pub(super) fn new(redirect_uri: TrustedRedirectUri) -> Self {
        Self {
            redirect_uri,
            response_mode: ResponseMode::default(),
            state: None,
            scope: Scope::default(),
            resources: Vec::new(),
            code_challenge: None,
            nonce: None,
            prompts: Prompts::default(),
            max_age: None,
            login_hint: None,
            subjects: None,
            claims: ClaimsRequest::default(),
            essential_acr: Vec::new(),
            as_visitor: false,
        }
    }

    /// Narrows the subjects that may be answered for to these.
    pub(super) fn narrow(&mut self, subjects: Vec<String>) {
        match &mut self.subjects {
            Some(known) => known.retain(|known| subjects.contains(known)),
            None => self.subjects = Some(subjects),
        }
    }

    /// Whether this subject may be answered for.
    pub fn is_about(&self, subject: Option<&str>) -> bool {
        self.subjects.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| Some(wanted.as_str()) == subject))
    }

    /// The answer to this request with these parameters; `iss` and `state` come along.
    pub fn respond(&self, issuer: &str, parameters: Vec<(&'static str, String)>) -> Response {
        let mut all = parameters;
        if let Some(state) = &self.state {
            all.push(("state", state.clone()));
        }
        // RFC 9207 §2: in every answer, errors included.
        all.push(("iss", issuer.to_owned()));
        Response { redirect_uri: self.redirect_uri.clone(), mode: self.response_mode, parameters: all }
    }

    /// The answer that refuses.
    pub fn refuse(&self, issuer: &str, error: &Error) -> Response {
        self.respond(
            issuer,
            vec![("error", error.code.as_str().to_owned()), ("error_description", error.description.to_string())],
        )
    }
}

/// Why a request was not understood, and where that may be said.
pub enum Misunderstood {
    /// There is no place that can be trusted with the error: a page (OAuth 2.1 §4.1.2.1).
    Untrusted(Error),
    /// The relying party is told.
    Refused(Box<Response>, Error),
    Broken(Failure),
}
