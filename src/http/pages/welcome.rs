//! The front page: what this server is, and the way to one's account.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::{
    app::App,
    failure::Failure,
    http::{
        csrf::person,
        extract::{Browser, Visit},
        render::{Page, PageName, answer, views},
    },
    oauth::Parameters,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let browser = app
        .db
        .single(visit.now, &visit.trace, async |tx| Browser::find(&app, &visit, tx).await.map_err(Failure::from))
        .await;
    match browser {
        Ok(browser) => {
            let signed_in = browser.signed_in().map(|(session, _)| person(session));
            let context = views::Welcome {
                issuer: app.config.issuer.as_str().to_owned(),
                signed_out: signed_in.is_none() && parameters.get("done") == Some("sign-out"),
                signed_in,
            };
            answer::page(&app, &visit, Page::new(PageName::Welcome), &context)
        }
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}
