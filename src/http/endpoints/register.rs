//! Dynamic client registration (RFC 7591 §3) and its management (RFC 7592 §2).
//!
//! Never with CORS: what a script of some page registers would be told to that page, secret included.

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
    web::{Data, Path},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    clients::{self, Information},
    db::{
        Outcome,
        registrations::{self, Registration},
    },
    failure::Failure,
    http::{
        extract::{BadBody, JsonBody, Visit},
        refusals,
        render::json,
    },
    oauth::{Error, ErrorCode},
    risk::{Attempt, Gate},
};

/// Where nobody may register: for programs, which look for the error in a JSON answer.
pub async fn off(visit: Visit) -> HttpResponse {
    let description = "dynamic client registration is turned off here; ask the operator to register the client";
    let error = Error::new(ErrorCode::RegistrationNotSupported, description);
    refusals::log(&visit, None, &error);
    json::error(StatusCode::NOT_FOUND, &error)
}

/// `POST /oauth/register`.
pub async fn post(app: Data<App>, visit: Visit, body: Result<JsonBody, BadBody>) -> HttpResponse {
    // Who may not register is told so whatever the body is.
    if let Err(failure) = admit(&app, &visit).await {
        return refused(&visit, &failure);
    }
    let said = match body {
        Ok(JsonBody(said)) => said,
        // RFC 7591 §3.2.2.
        Err(bad) => return bad.called(ErrorCode::InvalidClientMetadata).error_response(),
    };
    let registered = register(&app, &visit, said).await;
    told(&app, &visit, StatusCode::CREATED, registered)
}

/// `GET` of a `registration_client_uri`.
pub async fn get(app: Data<App>, visit: Visit, client_id: Path<String>) -> HttpResponse {
    let read = match own(&app, &visit, &client_id).await {
        Ok(registered) => app.registrar.read(&registered).map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    told(&app, &visit, StatusCode::OK, read)
}

/// `PUT` of a `registration_client_uri`.
pub async fn put(
    app: Data<App>,
    visit: Visit,
    client_id: Path<String>,
    body: Result<JsonBody, BadBody>,
) -> HttpResponse {
    let registered = match own(&app, &visit, &client_id).await {
        Ok(registered) => registered,
        Err(failure) => return refused(&visit, &failure),
    };
    let said = match body {
        Ok(JsonBody(said)) => said,
        // RFC 7591 §3.2.2.
        Err(bad) => return bad.called(ErrorCode::InvalidClientMetadata).error_response(),
    };
    let replaced = replace(&app, &visit, &registered, said).await;
    told(&app, &visit, StatusCode::OK, replaced)
}

/// `DELETE` of a `registration_client_uri`.
pub async fn delete(app: Data<App>, visit: Visit, client_id: Path<String>) -> HttpResponse {
    let deleted = match own(&app, &visit, &client_id).await {
        Ok(registered) => {
            let delete = async |tx: &mut _| app.registrar.delete(tx, &registered).await;
            app.db.work(visit.now, &visit.trace, delete).await
        }
        Err(failure) => Err(failure),
    };
    match deleted {
        Ok(()) => HttpResponse::NoContent().insert_header((header::CACHE_CONTROL, "no-store")).finish(),
        Err(failure) => refused(&visit, &failure),
    }
}

/// Whether the caller may register, now.
async fn admit(app: &App, visit: &Visit) -> Outcome<()> {
    if let Err(error) = app.registrar.admit(visit.bearer()) {
        return Err(guessed(app, visit, "", error).await);
    }
    count(app, visit).await
}

/// What makes us write, and perhaps fetch, is done so often an hour and no oftener.
async fn count(app: &App, visit: &Visit) -> Outcome<()> {
    let an_hour = app.config.registration.per_source;
    let count = async |tx: &mut _| app.sources.count_registration(tx, an_hour).await.map_err(Failure::from);
    let gate = app.db.work(visit.now, &visit.trace, count).await?;
    gate.or_later("too many registrations from your network")?;
    Ok(())
}

async fn register(app: &App, visit: &Visit, said: Value) -> Outcome<Information> {
    let metadata = app.registrar.understand(&said)?;
    // What is not kept does not wait for a fetch.
    drop(said);
    clients::check_sector(&app.outbound, &metadata).await?;
    app.db.work(visit.now, &visit.trace, async |tx| app.registrar.register(tx, metadata).await).await
}

async fn replace(app: &App, visit: &Visit, registered: &Registration, said: Value) -> Outcome<Information> {
    count(app, visit).await?;
    let metadata = app.registrar.understand_change(&said, registered)?;
    drop(said);
    clients::check_sector(&app.outbound, &metadata).await?;
    app.db.work(visit.now, &visit.trace, async |tx| app.registrar.replace(tx, registered, metadata).await).await
}

/// The registration that the caller's token opens. What is not there, what is not the caller's and what was ended get
/// one answer (RFC 7592 §2.1).
async fn own(app: &App, visit: &Visit, client_id: &str) -> Outcome<Registration> {
    // RFC 6750 §3.1: no token, no error.
    let bearer = visit.bearer().ok_or_else(|| Error::invalid_token(""))?;
    let wrong = Error::invalid_token("the registration access token is not valid (any more)");
    // Ids of ours are UUIDs; a path may hold anything, such as what no database keeps.
    let Ok(id) = Uuid::try_parse(client_id) else { return Err(guessed(app, visit, "", wrong).await) };
    let id = id.to_string();
    let found = app
        .db
        .read(visit.now, &visit.trace, async |tx| registrations::find(tx, &id).await.map_err(Failure::from))
        .await?;
    match found.filter(|registered| app.registrar.opens(bearer, registered)) {
        Some(registered) => Ok(registered),
        _ => Err(guessed(app, visit, &id, wrong).await),
    }
}

/// A token was brought and does not fit: slowed down, and told to the trail for as long as it is not noise.
async fn guessed(app: &App, visit: &Visit, client_id: &str, error: Error) -> Failure {
    if error.description.is_empty() {
        return error.into();
    }
    let counted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let gate = app.sources.count(tx, Attempt::RegistrationToken, client_id, None).await?;
            if let Gate::Open(_) = gate {
                let client_id = Some(client_id.to_owned()).filter(|id| !id.is_empty());
                let subject = Subject { client_id, ..Subject::default() };
                audit::record(
                    tx,
                    Event::refused(Action::ClientRegistrationAccess, Actor::Client, subject, "wrong_token"),
                );
            }
            Ok::<_, Failure>(gate)
        })
        .await;
    match counted {
        Ok(Gate::Open(_)) => error.into(),
        Ok(Gate::Closed(seconds)) => {
            Error::invalid_token("too many tokens that do not fit").retry_after(seconds).into()
        }
        Err(failure) => failure,
    }
}

fn told(app: &App, visit: &Visit, status: StatusCode, information: Outcome<Information>) -> HttpResponse {
    let answer = information.and_then(|information| {
        let uri = app.config.issuer.url(&format!("/oauth/register/{}", information.client_id));
        information.to_json(&uri).map_err(Failure::from)
    });
    match answer {
        Ok(answer) => json::private(status, &answer),
        Err(failure) => refused(visit, &failure),
    }
}

fn refused(visit: &Visit, failure: &Failure) -> HttpResponse {
    match failure {
        Failure::Refused(error) if error.code == ErrorCode::InvalidToken && error.retry_after.is_none() => {
            json::bearer_failure(visit, failure)
        }
        _ => json::failure(visit, None, failure),
    }
}
