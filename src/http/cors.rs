//! Cross-origin reading: discovery and JWKS for everyone, the rest for the origins of the client it is about. Never with
//! credentials, never at the authorization endpoint (a script must not read a redirect).

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::header::{self, HeaderName, HeaderValue},
    web::Data,
};

use super::{
    client_call::named,
    extract::{BadBody, Visit},
    refusals,
    render::json,
};
use crate::{
    app::App,
    clients::Client,
    db::{self, Outcome},
    failure::Failure,
    oauth::{ClientMetadata, Parameters},
};

/// For documents that are public anyway.
pub const EVERYONE: (HeaderName, HeaderValue) = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// The answer to a call of a client, which its own origins may read. A script has to be able to read why it was refused,
/// too: then the client is only named.
pub async fn answer(
    app: &App,
    visit: &Visit,
    parameters: &Parameters,
    answered: Outcome<(Client, HttpResponse)>,
) -> HttpResponse {
    match answered {
        Ok((client, mut response)) => {
            allow_client(visit, Some(&client.metadata), &mut response);
            log_unread(app, visit, Some(&client.id), &response);
            response
        }
        Err(failure) => {
            let named = named(visit, parameters);
            let mut response = json::failure(visit, named.as_deref(), &failure);
            allow_named(app, visit, named.as_deref(), &mut response).await;
            log_unread(app, visit, named.as_deref(), &response);
            response
        }
    }
}

/// Lets the client's own origins read the answer.
pub fn allow_client(visit: &Visit, client: Option<&ClientMetadata>, response: &mut HttpResponse) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = &visit.origin else { return };
    if client.is_some_and(|client| client.has_origin(origin))
        && let Ok(origin) = HeaderValue::from_str(origin)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, Retry-After"));
    }
}

/// Leaves a trace where a script may not read an answer: its browser tells nobody but the person who looks into the console.
pub fn log_unread(app: &App, visit: &Visit, client: Option<&str>, response: &HttpResponse) {
    let Some(origin) = visit.origin.as_deref().filter(|origin| *origin != app.config.issuer.origin()) else { return };
    if !response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        refusals::log_foreign_origin(visit, client, origin);
    }
}

/// Answers a preflight, which comes without credentials and so before client authentication: yes to an origin of any
/// client.
pub async fn preflight(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::VARY, "Origin"));
    let Some(origin) = visit.origin.clone() else { return response.finish() };
    if !request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return response.finish();
    }
    let known = app
        .db
        .single(visit.now, &visit.trace, async |tx| db::clients::is_origin(tx, &origin).await.map_err(Failure::from))
        .await;
    match known {
        Ok(true) => response
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin))
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
            .finish(),
        Ok(false) => {
            let response = response.finish();
            log_unread(&app, &visit, None, &response);
            response
        }
        Err(failure) => json::failure(&visit, None, &failure),
    }
}

/// Answers a preflight for what is public anyway: yes.
pub async fn preflight_of_everyone() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(EVERYONE)
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "86400"))
        .finish()
}

/// As [`allow_client`], where the client is only named, if that: for errors, which tell nothing that needs proof.
async fn allow_named(app: &App, visit: &Visit, client_id: Option<&str>, response: &mut HttpResponse) {
    let (Some(_), Some(client_id)) = (&visit.origin, client_id) else {
        return allow_known_origin(app, visit, response).await;
    };
    let client = app
        .db
        .single(visit.now, &visit.trace, async |tx| db::clients::find(tx, client_id).await.map_err(Failure::from))
        .await
        .ok()
        .flatten()
        .and_then(|row| Client::from_row(row).ok());
    allow_client(visit, client.as_ref().map(|client| &client.metadata), response);
}

/// The answer to a call whose body was not read: a script that sent it wrongly is to see how.
pub async fn unread(app: &App, visit: &Visit, bad: &BadBody) -> HttpResponse {
    let mut response = bad.error_response();
    allow_known_origin(app, visit, &mut response).await;
    log_unread(app, visit, None, &response);
    response
}

/// As [`preflight`] judges: for errors that are about no client in particular.
pub async fn allow_known_origin(app: &App, visit: &Visit, response: &mut HttpResponse) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = &visit.origin else { return };
    let known = app
        .db
        .single(visit.now, &visit.trace, async |tx| db::clients::is_origin(tx, origin).await.map_err(Failure::from))
        .await;
    if let (Ok(true), Ok(value)) = (known, HeaderValue::from_str(origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
        headers
            .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate, Retry-After"));
    }
}
