//! A person has privileged work open in another browser, and may have no more of it: is it to end for this?

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    db::{
        authorization_requests::{self, Mark},
        session_lists::{self, Filter},
    },
    failure::Failure,
    http::{
        csrf::person,
        extract::{Form, Visit},
        pending::{back, opened, sent},
        render::{Moment, PageName, answer, views},
    },
    oauth::Error,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let pending = match opened(&app, &visit, &request).await {
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
        csrf: pending.csrf(&app),
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
    let page = pending.page(PageName::PrivilegedElsewhere);
    answer::page(&app, &visit, page, &context)
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let goes_on = match form.get("decision") {
        Some("end-other") => true,
        Some("deny") => false,
        _ => return answer::refusal(&app, &visit, &Error::invalid_request("decision must be end-other or deny")),
    };
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            if goes_on {
                authorization_requests::mark(tx, pending.stored.id, Mark::Supersede).await?;
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
