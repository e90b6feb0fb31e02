//! Consent: what a client asks for, and the person's answer.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authorize::{csrf, csrf_fits},
    db::{
        authorization_requests::{self, Mark},
        consents,
    },
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{Pending, back, pending},
        render::{Page, PageName, answer, views},
        scope_names::describe,
    },
    oauth::{Error, Parameters},
    sessions,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let pending = match pending(&app, &visit, parameters.get("request")).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, user_id)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let context = views::Consent {
        action: app.config.issuer.url("/consent"),
        csrf: csrf(&app.csrf, pending.stored.id, Some(user_id)),
        request: pending.stored.id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        user: person(session),
        scopes: wanted(&pending).iter().map(|name| describe(&app, name)).collect(),
    };
    let page = Page::new(PageName::Consent)
        .may_redirect_to(Some(pending.request.redirect_uri.as_str()))
        .may_show(context.client.logo.as_deref());
    answer::page(&app, &visit, page, &context)
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match pending(&app, &visit, form.get("request")).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let person = pending.browser.signed_in().map(|(_, user_id)| user_id);
    if !form.get("csrf").is_some_and(|tag| csrf_fits(&app.csrf, pending.stored.id, person, tag)) {
        return answer::refusal(&app, &visit, &Error::invalid_request("this form is out of date"));
    }
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
            let mut subject = sessions::subject(session);
            subject.client_id = Some(pending.client.id.clone());
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

/// What is asked for: the scopes, and those that claims asked for by name amount to.
fn wanted(pending: &Pending) -> Vec<String> {
    pending.request.scope.union(&pending.request.claims.scopes()).iter().map(str::to_owned).collect()
}
