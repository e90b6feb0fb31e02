//! A proof is there: the privileged session begins, or is joined, and the code is issued on it, in one transaction.

use actix_web::HttpResponse;
use chrono::DateTime;
use uuid::Uuid;

use super::{answer_with, ask, forbid, refuse};
use crate::{
    app::App,
    authentication::Refusal,
    authorize::{self, AuthorizationRequest, HeldProof, Issue, Privileged, ProofSource},
    db::{Cause, Tx, authorization_requests, privileged_sessions},
    elevations::{self, Approval, Approvers, Need},
    failure::{Broken, Failure},
    http::{access, extract::Visit, pending::Known, render::answer},
    oauth::{Error, ErrorCode, Parameters, Prompt},
    sessions::{self, Elevation},
    tokens::PlainToken,
};

/// What was decided, and of what.
pub struct Elevated<'a> {
    pub known: &'a Known,
    pub request: &'a AuthorizationRequest,
    pub parameters: &'a Parameters,
    pub stored: Option<&'a authorization_requests::AuthorizationRequest>,
    pub user_id: Uuid,
    pub proof: HeldProof,
    /// What a second person agreed to, where one has to.
    pub approval: Option<Approval>,
}

/// Why there is no code, and nothing is changed.
enum Halt {
    Instead(sessions::Elevated),
    /// The person may not any more.
    Forbidden(Refusal),
    /// A credential that proved it has died since.
    Unproved,
    /// The approval does not stand any more.
    Unapproved,
    Failure(Failure),
}

impl From<Broken> for Halt {
    fn from(broken: Broken) -> Self {
        Self::Failure(broken.into())
    }
}

impl Cause for Halt {
    fn broken(&self) -> Option<&Broken> {
        match self {
            Self::Failure(failure) => failure.broken(),
            _ => None,
        }
    }

    fn before_commit(self) -> Self {
        match self {
            Self::Failure(failure) => Self::Failure(failure.before_commit()),
            other => other,
        }
    }
}

pub async fn issue(app: &App, visit: &Visit, of: &Elevated<'_>) -> HttpResponse {
    let Elevated { known, request, stored, .. } = *of;
    let is_silent = request.prompts.contains(Prompt::None);
    let refuse = |code, description| refuse(app, visit, known, request, &Error::new(code, description));
    match app.db.work(visit.now, &visit.trace, async |tx| elevate(app, visit, tx, of).await).await {
        Ok(code) => answer_with(app, visit, known, request, stored, code),
        Err(Halt::Instead(sessions::Elevated::Locked)) => {
            refuse(ErrorCode::AccessDenied, "this person's privileged session is locked")
        }
        Err(Halt::Instead(sessions::Elevated::Full)) if is_silent => {
            refuse(ErrorCode::InteractionRequired, "this person has a privileged session in another browser")
        }
        Err(Halt::Instead(sessions::Elevated::Full)) => {
            ask(app, visit, known, of.parameters, stored, "/privileged-elsewhere").await
        }
        Err(Halt::Forbidden(refusal)) if is_silent => forbid(app, visit, known, request, &refusal).await,
        Err(Halt::Forbidden(_)) => ask(app, visit, known, of.parameters, stored, "/access").await,
        Err(Halt::Unproved) if is_silent => {
            refuse(ErrorCode::LoginRequired, "the person has to prove themselves for this scope")
        }
        Err(Halt::Unproved) => ask(app, visit, known, of.parameters, stored, "/step-up").await,
        Err(Halt::Unapproved) if is_silent => {
            refuse(ErrorCode::InteractionRequired, "another person has to agree to this scope")
        }
        Err(Halt::Unapproved) => ask(app, visit, known, of.parameters, stored, "/elevation").await,
        // It ended while the request was on its way.
        Err(Halt::Instead(_)) => ask(app, visit, known, of.parameters, stored, "/login").await,
        Err(Halt::Failure(failure)) => answer::failure(app, visit, &failure),
    }
}

/// An `Err` takes everything back: an approval is not used up where no code comes of it.
async fn elevate(app: &App, visit: &Visit, tx: &mut Tx, of: &Elevated<'_>) -> Result<Option<PlainToken>, Halt> {
    let Elevated { known, request, stored, user_id, ref proof, approval, .. } = *of;
    let (Some(root), Some(demand)) = (&known.session, &request.demand) else {
        return Err(Broken::new("a step-up without a session, or for nothing").into());
    };
    // The same proof, or approval, for the same again gives nothing that lasts longer.
    let bounds = [proof.until, approval.map(|approval| approval.until(tx.now))];
    let until = bounds.into_iter().flatten().fold(tx.now + demand.duration, DateTime::min);
    let elevation = Elevation {
        root,
        user_id,
        client_id: &known.client.id,
        scope: &demand.scope,
        acr: proof.acr.as_str(),
        amr: &proof.amr,
        proved_at: proof.at,
        proved_with: proof.with(),
        until,
        may_supersede: stored.is_some_and(|stored| stored.supersede_at.is_some()),
    };
    let (session_id, until) = match sessions::elevate(tx, &app.config.privileged, &elevation).await? {
        sessions::Elevated::On { session_id, until } => (session_id, until),
        instead => return Err(Halt::Instead(instead)),
    };
    // The person is held by now: a right or a credential that they lost since this was decided is seen
    // here, and what of this happens afterwards ends the session.
    let privilege = privileged_sessions::find_privilege(tx, &known.client.id, user_id, root.root_id).await?;
    access::judge(visit, &privilege.who, demand).map_err(Halt::Forbidden)?;
    let stands = match (&proof.source, stored) {
        (ProofSource::Session(id), _) => *id == session_id,
        (ProofSource::Request(_), Some(stored)) => {
            authorization_requests::is_proved(tx, stored.id, user_id, proof.at).await?
        }
        (ProofSource::Request(_), None) => false,
    };
    if !stands || !privilege.counts(proof.at) {
        return Err(Halt::Unproved);
    }
    if demand.four_eyes {
        let need = Need {
            request_id: stored.map(|stored| stored.id),
            user_id,
            session_id: root.id,
            client_id: &known.client.id,
            scope: &demand.scope,
        };
        approve(app, tx, approval, &need, session_id).await?;
    }
    let what = Issue {
        request,
        request_id: stored.map(|stored| stored.id),
        client: &known.client,
        session: root,
        sid: known.sid,
        user_id: Some(user_id),
        privileged: Some(Privileged { session_id, until, proof: proof.clone() }),
    };
    Ok(authorize::issue(tx, &app.mint.codes, &app.config.tokens, &what).await?)
}

/// The approval is used for this session, or was before; else nothing comes of it.
async fn approve(
    app: &App,
    tx: &mut Tx,
    approval: Option<Approval>,
    need: &Need<'_>,
    session_id: Uuid,
) -> Result<(), Halt> {
    if approval.is_some_and(|approval| approval.privileged_session_id == Some(session_id)) {
        return Ok(());
    }
    let approvers = Approvers::of(&app.config.scopes);
    match elevations::consume(tx, &approvers, need, session_id).await? {
        Some(minutes) if approval.is_some_and(|approval| approval.minutes == minutes) => Ok(()),
        _ => Err(Halt::Unapproved),
    }
}
