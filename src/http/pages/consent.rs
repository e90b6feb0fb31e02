//! Consent: what a client asks for, and the person's answer.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    db::{
        Outcome,
        authorization_requests::{self, Mark},
        consents, privileged_sessions, registrations,
        sessions::LiveSession,
    },
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{Pending, back, opened, sent},
        render::{PageName, answer, views},
        scope_names::describe,
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
    let lacks = match lacks(&app, &visit, &pending, session, user_id).await {
        Ok(lacks) => lacks,
        Err(failure) => return answer::failure(&app, &visit, &failure),
    };
    let registered_itself = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            registrations::is_registered(tx, &pending.client.id).await.map_err(Failure::from)
        })
        .await;
    let client = match registered_itself {
        Ok(true) => answer::unverified_view(&pending.client, Some(pending.request.redirect_uri.as_str())),
        Ok(false) => answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        Err(failure) => return answer::failure(&app, &visit, &failure),
    };
    let context = views::Consent {
        action: app.config.issuer.url("/consent"),
        csrf: pending.csrf(&app),
        request: pending.stored.id.to_string(),
        client,
        user: person(session),
        scopes: wanted(&pending).iter().map(|name| describe(&app, name)).collect(),
        lacks,
    };
    let page = pending.page(PageName::Consent);
    answer::page(&app, &visit, page, &context)
}

/// What the person would have to have before the client could get what it asks for. It is for their eyes: the client learns
/// of it by the answer, and only when they have allowed it something.
async fn lacks(
    app: &App,
    visit: &Visit,
    pending: &Pending,
    session: &LiveSession,
    user_id: Uuid,
) -> Outcome<Option<&'static str>> {
    let Some(demand) = &pending.request.demand else { return Ok(None) };
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let found = privileged_sessions::find_privilege(tx, &pending.client.id, user_id, session.root_id).await?;
            Ok::<_, Failure>(found)
        })
        .await?;
    // One that registered itself gets nothing of it, whatever the person has.
    if found.is_self_registered || found.reach.satisfies(demand.acr) {
        return Ok(None);
    }
    Ok(Some(match demand.acr {
        Acr::Phrh => "a passkey whose hardware vouches for it",
        Acr::Phr => "a passkey",
        Acr::Mfa | Acr::Pwd | Acr::Visitor => "a passkey or an authenticator app",
    }))
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, user_id)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let allow = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return answer::refusal(&app, &visit, &Error::invalid_request("decision must be allow or deny")),
    };
    let scope = wanted(&pending);
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let mark = if allow { Mark::Consented } else { Mark::Denied };
            if !authorization_requests::mark(tx, pending.stored.id, mark).await? {
                return Ok(());
            }
            let subject = sessions::subject(session).with_client(&pending.client.id);
            let action = if allow {
                let names: Vec<&str> = scope.iter().map(String::as_str).collect();
                consents::grant(tx, user_id, &pending.client.id, &names).await?;
                Action::ConsentGranted
            } else {
                Action::ConsentDenied
            };
            audit::record(tx, Event::done(action, Actor::User, subject).detail(serde_json::json!({ "scope": scope })));
            Ok::<_, Failure>(())
        })
        .await;
    match noted {
        Ok(()) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

fn wanted(pending: &Pending) -> Vec<String> {
    pending.request.consent_scope().iter().map(str::to_owned).collect()
}
