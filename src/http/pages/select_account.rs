//! Choosing the account (`prompt=select_account`): go on as this person, or sign in as another.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    db::authorization_requests::{self, Mark},
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{back, opened, sent},
        render::{PageName, answer, views},
    },
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let pending = match opened(&app, &visit, &request).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let Some((session, _)) = pending.browser.signed_in() else { return back(&app, &pending) };
    let context = views::SelectAccount {
        action: app.config.issuer.url("/select-account"),
        csrf: pending.csrf(&app),
        request: pending.stored.id.to_string(),
        client: Some(answer::client_view(&pending.client, Some(&pending.request.redirect_uri))),
        user: person(session),
        cancel: pending.cancel(&app),
    };
    let page = pending.page(PageName::SelectAccount);
    answer::page(&app, &visit, page, &context)
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
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
        Ok(_) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
