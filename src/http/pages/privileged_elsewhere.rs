//! A person has privileged work open in another browser, and may have no more of it: is it to end for this?

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    authorize::{csrf, csrf_fits},
    db::{
        authorization_requests::{self, Mark},
        session_lists::{self, Filter},
    },
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{back, pending},
        render::{Moment, Page, PageName, answer, views},
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
    let open = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let filter = Filter {
                user_id: Some(user_id),
                kind: Some("privileged"),
                live_only: true,
                limit: 20,
                ..Filter::default()
            };
            session_lists::load(tx, &filter).await.map_err(Failure::from)
        })
        .await;
    let open = match open {
        Ok(open) => open,
        Err(failure) => return answer::failure(&app, &visit, &failure),
    };
    let elsewhere = open.into_iter().filter(|row| row.parent_id != Some(session.root_id));
    let context = views::PrivilegedElsewhere {
        action: app.config.issuer.url("/privileged-elsewhere"),
        csrf: csrf(&app.csrf, pending.stored.id, Some(user_id)),
        request: pending.stored.id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        user: person(session),
        open: elsewhere
            .map(|row| views::OpenWork {
                device: row.device.unwrap_or_else(|| "Unknown device".to_owned()),
                place: row.place,
                started_at: Moment::new(row.created_at, visit.now),
            })
            .collect(),
    };
    let page = Page::new(PageName::PrivilegedElsewhere)
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
    let mark = match form.get("decision") {
        Some("end-other") => Mark::Supersede,
        Some("deny") => Mark::Denied,
        _ => return answer::refusal(&app, &visit, &Error::invalid_request("decision must be end-other or deny")),
    };
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            authorization_requests::mark(tx, pending.stored.id, mark).await.map_err(Failure::from)
        })
        .await;
    match noted {
        Ok(_) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
