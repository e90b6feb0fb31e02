//! Step-up: a person proves who they are, now and for this very request (RFC 9470). Proving it is signing in again, with
//! what the request asks for; here they are told for what, and may go back.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    db::{
        authorization_requests::{self, Mark},
        privileged_sessions,
    },
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{Pending, back, opened, sent},
        render::{PageName, answer, views},
        scope_names::describe,
        signing_in::Purpose,
    },
    oauth::{Acr, Error},
    sessions,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let pending = match opened(&app, &visit, &request).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, user_id)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let id = pending.stored.id;
    let found = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let demanded = pending.request.demand.as_ref().map(|demand| demand.scope.clone());
            let about = [b"step-up".as_slice(), id.as_bytes()];
            if let Some(scope) = demanded
                && app.sources.may_record(tx, session.root_id, &about).await?
            {
                let subject = sessions::subject(session).with_client(&pending.client.id);
                let detail = serde_json::json!({ "scope": scope, "request": id });
                audit::record(tx, Event::done(Action::PrivilegeRequested, Actor::User, subject).detail(detail));
            }
            privileged_sessions::find_privilege(tx, &pending.client.id, user_id, session.root_id)
                .await
                .map_err(Failure::from)
        })
        .await;
    let privilege = match found {
        Ok(privilege) => privilege,
        Err(failure) => return answer::failure(&app, &visit, &failure),
    };
    let demand = pending.request.demand.as_ref();
    let code_suffices = privilege.has_code && pending.request.is_met_by(Acr::Mfa);
    let mut context = views::StepUp {
        action: app.config.issuer.url("/step-up"),
        csrf: pending.csrf(&app),
        request: id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        user: person(session),
        scopes: demand.iter().flat_map(|demand| &demand.scope).map(|name| describe(&app, name)).collect(),
        minutes: demand.map(|demand| demand.duration.num_minutes()),
        passkey: None,
        by_code: code_suffices.then(|| app.config.issuer.url(&format!("/login?request={id}&as=again"))),
        may_decline: may_decline(&pending, session.acr.parse().unwrap_or(Acr::Visitor)),
    };
    let page = pending.page(PageName::StepUp);
    if privilege.reach.satisfies(Acr::Phr) {
        context.passkey = Purpose::Request(Box::new(pending)).passkey(&app, false);
    }
    answer::page(&app, &visit, page, &context)
}

/// What is only wished for need not be given.
fn may_decline(pending: &Pending, has: Acr) -> bool {
    pending.request.demand.is_none() && pending.request.essential_is_met(has)
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, _)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let goes_on = match form.get("decision") {
        Some("decline") if may_decline(&pending, session.acr.parse().unwrap_or(Acr::Visitor)) => true,
        Some("deny") => false,
        _ => return answer::refusal(&app, &visit, &Error::invalid_request("decision must be deny or decline")),
    };
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            if goes_on {
                authorization_requests::mark(tx, pending.stored.id, Mark::Declined).await?;
                return Ok(());
            }
            pending.deny(tx).await
        })
        .await;
    match noted {
        Ok(()) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
