//! An authorization request, understood.

use super::Response;
use crate::{
    authentication::Demand,
    clients::Client,
    config,
    failure::Failure,
    oauth::{Acr, ClaimsRequest, Error, Parameters, Prompts, Scope, TrustedRedirectUri, resource_uri::consent_to},
};
use chrono::TimeDelta;
use serde_json::Value;

/// What the checks look at.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub parameters: &'a Parameters,
    pub client: &'a Client,
    /// The scopes that the configuration declares.
    pub scopes: &'a config::Scopes,
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
    /// Whether the answer names this server with `iss` (RFC 9207).
    pub names_issuer: bool,
    pub state: Option<String>,
    pub scope: Scope,
    /// What its privileged scopes demand; `None`: it has none.
    pub demand: Option<Demand>,
    /// What it names with `resource` (RFC 8707); empty: nothing.
    pub resources: Vec<String>,
    /// Those among them that need no scope.
    pub without_scopes: Vec<String>,
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
    /// Classes that are wished for (OIDC Core §3.1.2.1), of which one suffices; empty: none is.
    pub preferred_acr: Vec<Acr>,
    /// An anonymous visitor is enough.
    pub as_visitor: bool,
}

impl AuthorizationRequest {
    pub(super) fn new(redirect_uri: TrustedRedirectUri) -> Self {
        Self {
            redirect_uri,
            response_mode: ResponseMode::default(),
            names_issuer: true,
            state: None,
            scope: Scope::default(),
            demand: None,
            resources: Vec::new(),
            without_scopes: Vec::new(),
            code_challenge: None,
            nonce: None,
            prompts: Prompts::default(),
            max_age: None,
            login_hint: None,
            subjects: None,
            claims: ClaimsRequest::default(),
            essential_acr: Vec::new(),
            preferred_acr: Vec::new(),
            as_visitor: false,
        }
    }

    /// What a person has to consent to: the scope, the scopes that claims asked for by name amount to, and the resources that
    /// no scope stands for.
    #[must_use]
    pub fn consent_scope(&self) -> Scope {
        let resources: Vec<_> = self.without_scopes.iter().map(|identifier| consent_to(identifier)).collect();
        // Their identifiers have the syntax of scopes (`config::resource`).
        let resources = Scope::parse(&resources.join(" ")).unwrap_or_default();
        self.scope.union(&self.claims.scopes()).union(&resources)
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

    /// Whether more than a sign-in of this class is asked for: what then has to be known is looked up for such requests
    /// only.
    pub fn asks_for_more_than(&self, has: Acr) -> bool {
        self.demand.is_some() || !self.essential_is_met(has) || !self.wish_is_met(has)
    }

    /// Whether a person's sign-in of this class is of an essential class, or stronger. It is never that of a visitor.
    pub fn essential_is_met(&self, has: Acr) -> bool {
        let satisfies = |wanted| wanted != Acr::Visitor && has.satisfies(wanted);
        self.essential_acr.is_empty() || self.essential_acr.iter().any(|value| value.parse().is_ok_and(satisfies))
    }

    /// Whether a fresh proof of this class would be all that is asked for.
    pub fn is_met_by(&self, class: Acr) -> bool {
        self.demand.as_ref().is_none_or(|demand| class.satisfies(demand.acr))
            && self.essential_is_met(class)
            && self.wish_is_met(class)
    }

    /// Whether it is as strong as the client wishes. A person is enough where a visitor would have been.
    pub(super) fn wish_is_met(&self, has: Acr) -> bool {
        self.preferred_acr.is_empty() || self.preferred_acr.iter().any(|wanted| has.satisfies(*wanted))
    }

    /// The class that the answer names. Where one is essential it is one of those asked for, though the person did more
    /// than that (OIDC Core §5.5.1.1).
    pub(super) fn answered_acr(&self, has: Acr) -> Acr {
        let asked = self.essential_acr.iter().filter_map(|value| value.parse().ok());
        asked.filter(|asked| *asked != Acr::Visitor && has.satisfies(*asked)).max().unwrap_or(has)
    }

    /// The answer to this request with these parameters; `iss` and `state` come along.
    pub fn respond(&self, issuer: &str, parameters: Vec<(&'static str, String)>) -> Response {
        let mut all = parameters;
        if let Some(state) = &self.state {
            all.push(("state", state.clone()));
        }
        // RFC 9207 §2: in every answer, errors included. JARM §2.1 requires it in the JWT, whatever the client is set to.
        if self.names_issuer || self.response_mode.is_jwt {
            all.push(("iss", issuer.to_owned()));
        }
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
