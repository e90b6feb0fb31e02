//! The single place that says what an authorization request needs next.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::AuthorizationRequest;
use crate::{
    clients,
    db::{authorization_requests, sessions::LiveSession},
    oauth::{Acr, Error, ErrorCode, Prompt, Scope},
};

/// What is so at this moment: who is signed in, what they allowed, what they did about this very request.
pub struct Standing<'a> {
    pub session: Option<&'a LiveSession>,
    /// How the client knows whoever is there; looked at only where the request names somebody.
    pub known_as: Option<String>,
    pub consented: &'a [String],
    /// A native client without a secret, answered elsewhere than on https: nothing shows that it is itself.
    pub is_impersonable: bool,
    /// The stored request, once it had to wait for a person.
    pub stored: Option<&'a authorization_requests::AuthorizationRequest>,
    pub now: DateTime<Utc>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    SignIn,
    SelectAccount,
    /// Ask the person for these.
    Consent(Scope),
    /// Issue a code for this person.
    Issue(Uuid),
    /// Issue a code for the anonymous visitor, for this scope.
    IssueToVisitor(Scope),
    Refuse(Error),
}

/// Decides. With `prompt=none` whatever would need the person is an error (OIDC Core §3.1.2.6).
pub fn decide(request: &AuthorizationRequest, standing: &Standing<'_>) -> Decision {
    let silent = request.prompts.contains(Prompt::None);
    let or_refuse = |decision, code, description: &'static str| {
        if silent { Decision::Refuse(Error::new(code, description)) } else { decision }
    };
    if standing.stored.is_some_and(|stored| stored.denied_at.is_some()) {
        return Decision::Refuse(Error::new(ErrorCode::AccessDenied, "the person refused"));
    }
    if request.subjects.as_ref().is_some_and(Vec::is_empty) {
        let description = "id_token_hint and claims leave nobody who could be answered for";
        return Decision::Refuse(Error::new(ErrorCode::LoginRequired, description));
    }
    let Some((session, user_id)) = standing.session.and_then(|session| Some((session, session.user_id?))) else {
        return visitor(request, standing)
            .or_else(|| unmet(request))
            .unwrap_or_else(|| or_refuse(Decision::SignIn, ErrorCode::LoginRequired, "nobody is signed in"));
    };
    // A client that the person never allowed anything is not told whether they are the one it guesses at.
    if silent && request.subjects.is_some() && standing.consented.is_empty() {
        return Decision::Refuse(Error::new(
            ErrorCode::LoginRequired,
            "nobody is signed in who is asked for and has consented",
        ));
    }
    // Signed in since the request came: that is what prompt=login and max_age=0 ask for.
    let just_now = standing.stored.is_some_and(|stored| session.auth_time.is_some_and(|at| at >= stored.created_at));
    if !request.is_about(standing.known_as.as_deref()) {
        // OIDC Core §3.1.2.1: an answer for another person than the hint names would be a mix-up. Whoever has just
        // signed in chose to be somebody else.
        return if just_now {
            Decision::Refuse(Error::new(ErrorCode::LoginRequired, "another person than the hint names is signed in"))
        } else {
            or_refuse(Decision::SignIn, ErrorCode::LoginRequired, "another person is signed in")
        };
    }
    if !just_now {
        if request.prompts.contains(Prompt::Login) {
            return Decision::SignIn;
        }
        let too_old = request
            .max_age
            .is_some_and(|max_age| session.auth_time.is_none_or(|at| max_age.is_zero() || standing.now - at > max_age));
        if too_old {
            return or_refuse(Decision::SignIn, ErrorCode::LoginRequired, "the sign-in is older than max_age");
        }
        if request.prompts.contains(Prompt::SelectAccount)
            && standing.stored.is_none_or(|stored| stored.selected_at.is_none())
        {
            return Decision::SelectAccount;
        }
    }
    let has = session.acr.parse::<Acr>().unwrap_or(Acr::Visitor);
    if !request.essential_acr.is_empty() && !meets(has, &request.essential_acr) {
        return unmet(request).unwrap_or_else(|| {
            or_refuse(Decision::SignIn, ErrorCode::LoginRequired, "the sign-in is not strong enough")
        });
    }
    consent(request, standing).map_or(Decision::Issue(user_id), |scope| {
        or_refuse(Decision::Consent(scope), ErrorCode::ConsentRequired, "the person has not consented")
    })
}

/// What the person still has to be asked for.
fn consent(request: &AuthorizationRequest, standing: &Standing<'_>) -> Option<Scope> {
    // Claims asked for by name amount to scopes: asking that way gets round nobody.
    let wanted = request.scope.union(&request.claims.scopes());
    let answered = standing.stored.is_some_and(|stored| stored.consented_at.is_some());
    if request.prompts.contains(Prompt::Consent) && !answered {
        return Some(wanted);
    }
    // RFC 8252 §8.6: another program on the same machine can pose as such a client, so it is never answered unseen.
    if standing.is_impersonable && !answered {
        return Some(wanted);
    }
    let missing = wanted.filtered(|token| !standing.consented.iter().any(|given| given == token));
    (!missing.is_empty()).then_some(wanted)
}

/// The answer for nobody in particular. Whoever is signed in is a person for everybody: this is not asked for them.
fn visitor(request: &AuthorizationRequest, standing: &Standing<'_>) -> Option<Decision> {
    if !request.as_visitor || !request.is_about(standing.known_as.as_deref()) {
        return None;
    }
    let scope = clients::scope::for_visitor(&request.scope);
    Some(if scope.is_empty() && !request.scope.is_empty() {
        Decision::Refuse(Error::invalid_scope("nothing of this scope can be had of an anonymous visitor"))
    } else {
        Decision::IssueToVisitor(scope)
    })
}

/// Whether a person's sign-in is of one of these classes, or stronger. It is never that of a visitor.
fn meets(has: Acr, wanted: &[String]) -> bool {
    let satisfies = |wanted| wanted != Acr::Visitor && has.satisfies(wanted);
    wanted.iter().any(|value| value.parse().is_ok_and(satisfies))
}

/// An essential `acr` that no sign-in here can reach is refused at once (OIDC Core §5.5.1.1).
fn unmet(request: &AuthorizationRequest) -> Option<Decision> {
    let reachable = request.essential_acr.is_empty() || meets(Acr::Pwd, &request.essential_acr);
    (!reachable).then(|| {
        Decision::Refuse(Error::new(
            ErrorCode::UnmetAuthenticationRequirements,
            "none of the essential acr values can be met here",
        ))
    })
}
