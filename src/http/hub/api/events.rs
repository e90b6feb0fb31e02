//! What resource servers report: that something was done with a token, so that the timeline of a privileged session shows
//! the work and not only the sign-in.
//!
//! Whoever may introspect a token may report of it, and nobody else. One look-up, and one statement that counts the report
//! and writes its event. Nothing that is said here is acted on: it is told.

use actix_web::{HttpResponse, ResponseError, http::StatusCode, web::Data};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    db::{Outcome, access_tokens},
    failure::Failure,
    http::{
        client_call::{audiences, authenticator, confidential, credentials, named},
        extract::{BadBody, TypedJson, Visit},
        render::json,
    },
    oauth::{Error, ErrorCode, Parameters},
    tokens::Presented,
};

/// A report. No `Debug`: it carries a token, and perhaps the client's secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The access token with which it was done.
    token: String,
    /// What was done, in at most 128 bytes, such as `payment.create`.
    action: String,
    /// To what, in at most 512 bytes.
    object: Option<String>,
    /// How it went, in at most 64 bytes, such as `done` or `refused`.
    outcome: Option<String>,
    /// By which name the resource server's own log knows it, in at most 128 bytes.
    trace_id: Option<String>,
    /// When, if not now (RFC 3339).
    at: Option<DateTime<Utc>>,
    /// Of a client that does not authenticate by the `Authorization` header.
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// How far ahead the clock of a resource server may be.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// Reports what was done with a token, so that the timeline of its session shows it.
#[utoipa::path(
    post, path = "/hub/api/v1/sessions/events", tag = "events", operation_id = "reportWork",
    security(("client" = [])), request_body = Report,
    responses(
        (status = 202, description = "It is in the timeline."),
        (status = 400, body = super::views::Refusal), (status = 401, body = super::views::Refusal),
        (status = 403, description = "The client may not introspect the token.", body = super::views::Refusal),
        (status = 404, description = "There is no live access token like this.", body = super::views::Refusal),
        (status = 413, body = super::views::Refusal), (status = 415, body = super::views::Refusal),
        (status = 429, description = "Too many reports at once; Retry-After says when.", body = super::views::Refusal),
    ),
)]
pub async fn post(app: Data<App>, visit: Visit, body: Result<TypedJson<Report>, BadBody>) -> HttpResponse {
    let report = match body {
        Ok(TypedJson(report)) => report,
        Err(bad) => return bad.error_response(),
    };
    match run(&app, &visit, &report).await {
        Ok(Told::Kept) => HttpResponse::Accepted().finish(),
        Ok(Told::NoSuchToken) => {
            let error = Error::new(ErrorCode::InvalidToken, "there is no live access token like this");
            json::error(StatusCode::NOT_FOUND, &error)
        }
        Ok(Told::NotYours) => {
            let error = Error::new(ErrorCode::AccessDenied, "this client may not introspect the token");
            json::error(StatusCode::FORBIDDEN, &error)
        }
        Err(failure) => {
            let parameters = Parameters::from_pairs(report.authentication()).unwrap_or_default();
            json::failure(&visit, named(&visit, &parameters).as_deref(), &failure)
        }
    }
}

enum Told {
    Kept,
    NoSuchToken,
    NotYours,
}

async fn run(app: &App, visit: &Visit, report: &Report) -> Outcome<Told> {
    let parameters = Parameters::from_pairs(report.authentication())?;
    let credentials = credentials(app, visit, &parameters).await?;
    let audiences = audiences(app, "/hub/api/v1/sessions/events");
    let audiences = audiences.each_ref().map(String::as_str);
    let presented = Presented::read(&report.token, &app.mint.keys);
    let found = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            let id = presented.as_ref().map(|presented| presented.id);
            access_tokens::find_live_with_caller(tx, &credentials.client_id, id).await.map_err(Failure::from)
        })
        .await?;
    let (row, token) = found.map_or((None, None), |(row, token)| (Some(row), token));
    let caller = confidential(authenticator(app, visit, &audiences).authenticate(&credentials, row).await?)?;
    let mut detail = report.facts(visit.now)?;
    let Some((token, _)) = token.zip(presented).filter(|(token, presented)| presented.is_genuine(token)) else {
        return Ok(Told::NoSuchToken);
    };
    if !caller.may_introspect(&token.token_client_id, &token.audience, &app.config.resources) {
        return Ok(Told::NotYours);
    }
    detail.insert("token".into(), token.id.to_string().into());
    detail.insert("used_by".into(), token.token_client_id.into());
    let subject = Subject {
        session_id: Some(token.session_id),
        session_kind: Some(token.session_kind),
        user_id: token.user_id,
        client_id: Some(caller.id.clone()),
    };
    let gate = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let event = Event::done(Action::WorkReported, Actor::Client, subject);
            audit::record(tx, event.detail(Value::Object(detail)));
            app.sources.admit_report(tx, &caller.id).await.map_err(Failure::from)
        })
        .await?;
    gate.or_later("this client reports too much at once")?;
    Ok(Told::Kept)
}

impl Report {
    /// What the methods of client authentication read, where it came in the body.
    fn authentication(&self) -> impl Iterator<Item = (String, String)> {
        [
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("client_assertion_type", &self.client_assertion_type),
            ("client_assertion", &self.client_assertion),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
    }

    /// What is told of it; what cannot be is refused.
    fn facts(&self, now: DateTime<Utc>) -> Result<Map<String, Value>, Error> {
        let mut facts = Map::new();
        for (name, value, longest) in [
            ("action", Some(&self.action), 128),
            ("object", self.object.as_ref(), 512),
            ("outcome", self.outcome.as_ref(), 64),
            ("trace_id", self.trace_id.as_ref(), 128),
        ] {
            let Some(value) = value else { continue };
            if value.is_empty() || value.len() > longest || value.chars().any(char::is_control) {
                let said = format!("{name} must have 1 to {longest} bytes and no control characters");
                return Err(Error::invalid_request(said));
            }
            facts.insert(name.to_owned(), value.as_str().into());
        }
        if let Some(at) = self.at {
            if at > now + AHEAD {
                return Err(Error::invalid_request("at is in the future"));
            }
            facts.insert("at".to_owned(), at.to_rfc3339_opts(SecondsFormat::Millis, true).into());
        }
        Ok(facts)
    }
}
