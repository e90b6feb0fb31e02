//! Why a person may not have a privileged scope now: who may, from where and when is the operator's to say.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    db::privileged_sessions,
    failure::Failure,
    http::{
        access,
        extract::{Form, Visit},
        pending::{back, opened, sent},
        render::{PageName, answer, views},
        scope_names::describe,
    },
    oauth::Error,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let pending = match opened(&app, &visit, &request).await {
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
            access::note(&app, tx, Some(session), &pending.client.id, Some(demand), &refusal).await?;
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
        csrf: pending.csrf(&app),
        request: pending.stored.id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        scopes: demand.scope.iter().map(|name| describe(&app, name)).collect(),
        reason: refusal.sentence(),
    };
    let page = pending.page(PageName::Access).status(StatusCode::FORBIDDEN);
    answer::page(&app, &visit, page, &context)
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    if form.get("decision") != Some("leave") {
        return answer::refusal(&app, &visit, &Error::invalid_request("decision must be leave"));
    }
    if pending.request.demand.is_none() {
        return back(&app, &pending);
    }
    let noted = app.db.work(visit.now, &visit.trace, async |tx| pending.deny(tx).await).await;
    match noted {
        Ok(()) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
