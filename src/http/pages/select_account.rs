//! Choosing the account (`prompt=select_account`): go on as this person, or sign in as another.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    authorize::{csrf, csrf_fits},
    db::authorization_requests::{self, Mark},
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::pending,
        render::{Page, PageName, answer, views},
    },
    oauth::{Error, Parameters},
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let pending = match pending(&app, &visit, parameters.get("request")).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, user_id)) = pending.browser.signed_in() else {
        return answer::see_other(&app.config.issuer.url(&format!("/oauth/authorize/{}", pending.stored.id)));
    };
    let context = views::SelectAccount {
        action: app.config.issuer.url("/select-account"),
        csrf: csrf(&app.csrf, pending.stored.id, Some(user_id)),
        request: pending.stored.id.to_string(),
        client: Some(answer::client_view(&pending.client, Some(&pending.request.redirect_uri))),
        user: person(session),
    };
    let page = Page::new(PageName::SelectAccount)
        .may_redirect_to(Some(pending.request.redirect_uri.as_str()))
        .may_show(pending.client.metadata.logo_uri.as_deref());
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
    let id = pending.stored.id;
    if form.get("decision") != Some("continue") {
        // Signing in there as another person ends this session first.
        return answer::see_other(&app.config.issuer.url(&format!("/login?request={id}&as=another")));
    }
    let marked = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            authorization_requests::mark(tx, id, Mark::Selected).await.map_err(Failure::from)
        })
        .await;
    match marked {
        Ok(_) => answer::see_other(&app.config.issuer.url(&format!("/oauth/authorize/{id}"))),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
