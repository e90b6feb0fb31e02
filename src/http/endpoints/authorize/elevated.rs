//! A proof is there: the privileged session begins, or is joined, and the code is issued on it, in one transaction.

use actix_web::HttpResponse;
use uuid::Uuid;

use super::{answer_with, ask, refuse};
use crate::{
    app::App,
    authorize::{self, AuthorizationRequest, HeldProof, Issue, Privileged},
    db::{Outcome, Tx, authorization_requests},
    failure::{Broken, Failure},
    http::{extract::Visit, pending::Known, render::answer},
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
}

/// What came of it.
enum Came {
    Code(Option<PlainToken>),
    Instead(sessions::Elevated),
}

pub async fn issue(app: &App, visit: &Visit, of: &Elevated<'_>) -> HttpResponse {
    let Elevated { known, request, stored, .. } = *of;
    let came = app.db.work(visit.now, &visit.trace, async |tx| elevate(app, tx, of).await).await;
    match came {
        Ok(Came::Code(code)) => answer_with(app, visit, known, request, stored, code),
        Ok(Came::Instead(sessions::Elevated::Locked)) => {
            let error = Error::new(ErrorCode::AccessDenied, "this person's privileged session is locked");
            refuse(app, visit, known, request, &error)
        }
        Ok(Came::Instead(sessions::Elevated::Full)) if request.prompts.contains(Prompt::None) => {
            let description = "this person has a privileged session in another browser";
            refuse(app, visit, known, request, &Error::new(ErrorCode::InteractionRequired, description))
        }
        Ok(Came::Instead(sessions::Elevated::Full)) => {
            ask(app, visit, known, of.parameters, stored, "/privileged-elsewhere").await
        }
        // It ended while the request was on its way.
        Ok(Came::Instead(_)) => ask(app, visit, known, of.parameters, stored, "/login").await,
        Err(failure) => answer::failure(app, visit, &failure),
    }
}

async fn elevate(app: &App, tx: &mut Tx, of: &Elevated<'_>) -> Outcome<Came> {
    let Elevated { known, request, stored, user_id, ref proof, .. } = *of;
    let (Some(root), Some(demand)) = (&known.session, &request.demand) else {
        return Err(Failure::from(Broken::new("a step-up without a session, or for nothing")));
    };
    let elevation = Elevation {
        root,
        user_id,
        client_id: &known.client.id,
        scope: &demand.scope,
        acr: proof.acr.as_str(),
        amr: &proof.amr,
        proved_at: proof.at,
        duration: demand.duration,
        may_supersede: stored.is_some_and(|stored| stored.supersede_at.is_some()),
    };
    let (session_id, expires_at) = match sessions::elevate(tx, &app.config.privileged, &elevation).await? {
        sessions::Elevated::On { session_id, expires_at } => (session_id, expires_at),
        instead => return Ok(Came::Instead(instead)),
    };
    let what = Issue {
        request,
        request_id: stored.map(|stored| stored.id),
        client: &known.client,
        session: root,
        sid: known.sid,
        user_id: Some(user_id),
        privileged: Some(Privileged { session_id, expires_at, proof: proof.clone() }),
    };
    Ok(Came::Code(authorize::issue(tx, &app.mint.codes, &app.config.tokens, &what).await?))
}
