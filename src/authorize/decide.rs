//! The single place that says what an authorization request needs next.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::AuthorizationRequest;
use crate::{
    authentication::{Demand, Refusal},
    clients,
    db::{authorization_requests, privileged_sessions::Privilege, sessions::LiveSession},
    elevations::Approval,
    oauth::{Acr, Error, ErrorCode, Prompt, Scope},
    tokens::not_for_visitors,
};

/// What is so at this moment: who is signed in, what they allowed, what they did about this very request.
pub struct Standing<'a> {
    pub session: Option<&'a LiveSession>,
    /// What the person could prove and has proved; looked up where the request asks for more than their sign-in.
    pub privilege: Option<&'a Privilege>,
    /// Why the person may not have what is asked for, here and now.
    pub refusal: Option<Refusal>,
    /// What a second person agreed to; looked up where the scope needs one.
    pub approval: Option<Approval>,
    /// How the client knows whoever is there; looked at only where the request names somebody.
    pub known_as: Option<String>,
    pub consented: &'a [String],
    /// The client is this server's own.
    pub is_own: bool,
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
    /// The person is to prove themselves more strongly, for this very request.
    StepUp,
    SelectAccount,
    /// Ask the person for these.
    Consent(Scope),
    /// The person may not have a privileged scope, here and now.
    Forbid(Refusal),
    /// A second person has to agree.
    Approval,
    /// Issue a code for this person.
    Issue(Uuid),
    /// Begin or join the privileged session that this proof is good for, and issue a code on it.
    Elevate(Uuid, HeldProof),
    /// Issue a code for the anonymous visitor, for this scope.
    IssueToVisitor(Scope),
    Refuse(Error),
}

/// A proof that is fresh and strong enough for what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldProof {
    pub acr: Acr,
    pub amr: Vec<String>,
    pub at: DateTime<Utc>,
    /// Of one that was used before: until when that gave something privileged. It gives nothing for longer.
    pub until: Option<DateTime<Utc>>,
    pub source: ProofSource,
}

/// Where a proof is remembered. It is looked at again when the code is issued: the credential may have died since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofSource {
    /// The stored request, with the credentials that proved it.
    Request(Vec<Uuid>),
    /// A privileged session, and it alone: a proof dies with it.
    Session(Uuid),
}

impl HeldProof {
    /// The credentials that it adds to its privileged session.
    #[must_use]
    pub fn with(&self) -> &[Uuid] {
        match &self.source {
            ProofSource::Request(with) => with,
            ProofSource::Session(_) => &[],
        }
    }
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
    // Signed in for this very request: that is what prompt=login and max_age=0 ask for (OIDC Core §3.1.2.1). The sign-in noted
    // it; the instants of two replicas, whose clocks differ, say nothing.
    let just_now = standing.stored.is_some_and(|stored| stored.proved_by == Some(user_id));
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
        let too_old = request.max_age.is_some_and(|max_age| {
            // No age will do for a proof whose credential has died.
            session.has_lost_proof
                || session.auth_time.is_none_or(|at| max_age.is_zero() || standing.now - at > max_age)
        });
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
    let reach = standing.privilege.map_or(Acr::Pwd, |privilege| privilege.reach);
    if !request.essential_is_met(has) {
        return if request.essential_is_met(reach) {
            or_refuse(Decision::StepUp, ErrorCode::LoginRequired, "the sign-in is not strong enough")
        } else {
            unmet_by("none of the essential acr values can be met by this person")
        };
    }
    // A wish: what the person can do is tried once, and then it goes on with what there is.
    let declined = standing.stored.is_some_and(|stored| stored.declined_at.is_some());
    if !silent && !declined && !request.wish_is_met(has) && request.wish_is_met(reach) {
        return Decision::StepUp;
    }
    if let Some(refusal) = &standing.refusal {
        return Decision::Forbid(refusal.clone());
    }
    if let Some(scope) = consent(request, standing) {
        return or_refuse(Decision::Consent(scope), ErrorCode::ConsentRequired, "the person has not consented");
    }
    let Some(demand) = &request.demand else { return Decision::Issue(user_id) };
    let Some(privilege) = standing.privilege else {
        return Decision::Refuse(Error::new(ErrorCode::ServerError, "what was proved is not known"));
    };
    if privilege.is_self_registered {
        return Decision::Refuse(Error::invalid_scope("a client that registered itself has no privileged scopes"));
    }
    if !privilege.reach.satisfies(demand.acr) {
        return unmet_by("the scope needs a stronger proof than this person has enrolled for");
    }
    match held(request, demand, privilege, standing, user_id) {
        Some(_) if demand.four_eyes && standing.approval.is_none() => {
            or_refuse(Decision::Approval, ErrorCode::InteractionRequired, "another person has to agree to this scope")
        }
        Some(proof) => Decision::Elevate(user_id, proof),
        None => {
            or_refuse(Decision::StepUp, ErrorCode::LoginRequired, "the person has to prove themselves for this scope")
        }
    }
}

/// A proof that is good for this request: given for it, or for the same client and scopes in the live privileged session.
/// Neither is good for any longer than the policy allows. `max_age` and `prompt=login` ask for what was given since the
/// request came, or is no older than that; of a proof for this very request that is so by itself.
fn held(
    request: &AuthorizationRequest,
    demand: &Demand,
    privilege: &Privilege,
    standing: &Standing<'_>,
    user_id: Uuid,
) -> Option<HeldProof> {
    let is_younger = |at: DateTime<Utc>, than: TimeDelta| at >= standing.now - than;
    let for_this = standing.stored.filter(|stored| stored.proved_by == Some(user_id)).and_then(|stored| {
        let acr = stored.proved_acr.as_deref()?.parse().ok()?;
        Some(HeldProof {
            acr,
            amr: stored.proved_amr.clone()?,
            at: stored.proved_at?,
            until: None,
            source: ProofSource::Request(stored.proved_with.clone().unwrap_or_default()),
        })
    });
    let for_these = privilege.step_up.as_ref().filter(|step_up| {
        !request.prompts.contains(Prompt::Login)
            && request.max_age.is_none_or(|max_age| !max_age.is_zero() && is_younger(step_up.proved_at, max_age))
            && demand.scope.iter().all(|name| step_up.scope.contains(name))
    });
    let for_these = for_these.and_then(|step_up| {
        let acr = step_up.acr.parse().ok()?;
        Some(HeldProof {
            acr,
            amr: step_up.amr.clone(),
            at: step_up.proved_at,
            until: step_up.until,
            source: ProofSource::Session(step_up.session_id),
        })
    });
    let is_good = |proof: &HeldProof| {
        proof.acr.satisfies(demand.acr) && is_younger(proof.at, demand.max_age) && privilege.counts(proof.at)
    };
    for_this.into_iter().chain(for_these).find(is_good)
}

/// What the person still has to be asked for.
fn consent(request: &AuthorizationRequest, standing: &Standing<'_>) -> Option<Scope> {
    // Nobody is asked whether this server may tell itself something.
    if standing.is_own {
        return None;
    }
    let wanted = request.consent_scope();
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
    // Nobody is there who could be asked about an API that no scope stands for (docs/decisions/0010).
    if !request.without_scopes.is_empty() {
        return Some(Decision::Refuse(not_for_visitors()));
    }
    let scope = clients::scope::for_visitor(&request.scope);
    Some(if scope.is_empty() && !request.scope.is_empty() {
        Decision::Refuse(Error::invalid_scope("nothing of this scope can be had of an anonymous visitor"))
    } else {
        Decision::IssueToVisitor(scope)
    })
}

/// An essential `acr` that nobody here can reach is refused before anybody signs in (OIDC Core §5.5.1.1).
fn unmet(request: &AuthorizationRequest) -> Option<Decision> {
    (!request.essential_is_met(Acr::Phrh)).then(|| unmet_by("none of the essential acr values can be met here"))
}

fn unmet_by(description: &'static str) -> Decision {
    Decision::Refuse(Error::new(ErrorCode::UnmetAuthenticationRequirements, description))
}
