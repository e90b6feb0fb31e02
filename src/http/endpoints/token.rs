//! The token endpoint (OAuth 2.1 §3.2).

use actix_web::{HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    clients::Client,
    db::Outcome,
    grants::{Exchange, TokenResponse, exchange},
    http::{
        client_call::{audiences, authenticator, credentials},
        cors,
        extract::{BadBody, Form, Visit},
        render::json,
    },
};

pub async fn token(app: Data<App>, visit: Visit, form: Result<Form, BadBody>) -> HttpResponse {
    let form = match form {
        Ok(form) => form,
        Err(bad) => return cors::unread(&app, &visit, &bad).await,
    };
    let answered = run(&app, &visit, &form).await;
    let answered = answered.map(|(client, tokens)| (client, json::private(StatusCode::OK, &tokens)));
    cors::answer(&app, &visit, &form.0, answered).await
}

async fn run(app: &App, visit: &Visit, form: &Form) -> Outcome<(Client, TokenResponse)> {
    let parameters = &form.0;
    let credentials = credentials(app, visit, parameters).await?;
    let audiences = audiences(app, "/oauth/token");
    let audiences = audiences.each_ref().map(String::as_str);
    // The body may have come seconds after the head, and what expired meanwhile has expired.
    let now = app.clock.now();
    let context = Exchange { db: &app.db, mint: &app.mint, config: &app.config, now, trace: &visit.trace, parameters };
    exchange(&context, &authenticator(app, visit, &audiences), &credentials).await
}
