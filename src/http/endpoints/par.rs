//! Pushed authorization requests (RFC 9126): a client says what it wants before a browser comes, and is told at once when
//! that is wrong. What it gets names the stored request; nothing of it can be read in the browser or changed there.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    app::App,
    authorize::{self, Arrival, Endpoint, Misunderstood},
    clients::Client,
    db::{Outcome, authorization_requests, registrations},
    failure::Failure,
    http::{
        client_call::{audiences, authenticator, credentials},
        cors,
        extract::{BadBody, Form, Visit},
        pending::{judge, reader},
        render::json,
    },
    oauth::Error,
};

/// How soon a browser has to come (RFC 9126 §2.2: relatively short).
const LIFETIME: TimeDelta = TimeDelta::seconds(90);

pub async fn push(app: Data<App>, visit: Visit, form: Result<Form, BadBody>) -> HttpResponse {
    let form = match form {
        Ok(form) => form,
        Err(bad) => return cors::unread(&app, &visit, &bad).await,
    };
    let answered = run(&app, &visit, &form).await;
    let answered = answered.map(|(client, answer)| (client, json::private(StatusCode::CREATED, &answer)));
    cors::answer(&app, &visit, &form.0, answered).await
}

async fn run(app: &App, visit: &Visit, form: &Form) -> Outcome<(Client, Value)> {
    let sent = &form.0;
    let credentials = credentials(app, visit, sent).await?;
    let audiences = audiences(app, "/oauth/par");
    let audiences = audiences.each_ref().map(String::as_str);
    let found = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            registrations::find_client(tx, &credentials.client_id).await.map_err(Failure::from)
        })
        .await?;
    let (row, registered_itself) = found.map_or((None, false), |(row, itself)| (Some(row), itself));
    let client = authenticator(app, visit, &audiences).authenticate(&credentials, row).await?;
    // RFC 9126 §2.1: it MUST NOT be provided.
    if sent.get("request_uri").is_some() {
        return Err(Error::invalid_request("request_uri cannot be pushed").into());
    }
    let read = reader(app, visit, Endpoint::Push).read(&client, sent, Arrival::of(sent)?).await;
    let parameters = read.map_err(plainly)?;
    // §2.1: as at the authorization endpoint.
    judge(app, &parameters, &client).map_err(plainly)?;
    let id = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let kept = authorize::kept(&parameters);
            // Anybody may be a client that registered itself, and many of them: those are strangers still.
            let gate = if client.metadata.is_public() || registered_itself {
                app.sources.count_stranger(tx, kept.len()).await?
            } else {
                app.sources.count_push(tx, &client.id, kept.len()).await?
            };
            if let Err(error) = gate.or_later("too many pushed requests") {
                return Ok(Err(error));
            }
            Ok::<_, Failure>(Ok(authorization_requests::insert_pushed(tx, &client.id, &kept, tx.now + LIFETIME).await?))
        })
        .await??;
    let request_uri = app.mint.request_uris.request_uri(id).into_text();
    Ok((client, json!({ "request_uri": request_uri, "expires_in": LIFETIME.num_seconds() })))
}

/// §2.3: whatever is wrong is said to the client directly.
fn plainly(misunderstood: Misunderstood) -> Failure {
    match misunderstood {
        Misunderstood::Untrusted(error) | Misunderstood::Refused(_, error) => error.into(),
        Misunderstood::Broken(failure) => failure,
    }
}
