//! Why a person may not have a privileged scope now: who may, from where and when is the operator's to say.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    authorize::{csrf, csrf_fits},
    db::{
        authorization_requests::{self, Mark},
        privileged_sessions,
    },
    failure::Failure,
    http::{
        access,
        extract::{Form, Visit},
        pending::{back, pending},
        render::{Page, PageName, answer, views},
        scope_names::describe,
    },
    oauth::{Error, Parameters},
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let pending = match pending(&app, &visit, parameters.get("request")).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, user_id)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let Some(demand) = &pending.request.demand else { return back(&app, &pending) };
    let refused = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let found = privileged_sessions::find_privilege(tx, &pending.client.id, user_id, session.root_id).await?;
            let Err(refusal) = access::judge(&visit, &found.who, demand) else { return Ok(None) };
            access::note(tx, Some(session), &pending.client.id, Some(demand), &refusal);
            Ok::<_, Failure>(Some(refusal))
        })
        .await;
    let refusal = match refused {
        Ok(Some(refusal)) => refusal,
        // It is otherwise by now.
        Ok(None) => return back(&app, &pending),
        Err(failure) => return answer::failure(&app, &visit, &failure),
    };
    let context = views::Access {
        action: app.config.issuer.url("/access"),
        csrf: csrf(&app.csrf, pending.stored.id, Some(user_id)),
        request: pending.stored.id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        scopes: demand.scope.iter().map(|name| describe(&app, name)).collect(),
        reason: refusal.sentence(),
    };
    let page = Page::new(PageName::Access)
        .status(StatusCode::FORBIDDEN)
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
    if form.get("decision") != Some("leave") {
        return answer::refusal(&app, &visit, &Error::invalid_request("decision must be leave"));
    }
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            authorization_requests::mark(tx, pending.stored.id, Mark::Denied).await.map_err(Failure::from)
        })
        .await;
    match noted {
        Ok(_) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
