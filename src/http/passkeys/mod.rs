//! What the script of our pages calls to ask for a passkey: JSON in, JSON out.
//!
//! Each ceremony is two calls: one gets `{ceremony, publicKey}`, the other sends `{ceremony, credential}` and gets
//! `{next}`, where the browser goes on. A refusal is `{error, error_description}` in words for the person, which tell
//! nobody why; the trail does. A page of another site can send none of this: it has no token, and no JSON without CORS.

pub mod enrol;
pub mod related_origins;
pub mod set_up;
pub mod sign_in;
pub mod stateless;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    extract::{Visit, give_cookies},
    refusals,
    render::json::{failure, private},
};
use crate::{
    app::App,
    authentication::{
        ceremony::Asked,
        passkey::{Passkeys, Refusal},
    },
    failure::Failure,
    risk::watch,
    sessions::SignedIn,
};

/// What a script sent.
struct Call(Value);

impl Call {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn id(&self, name: &str) -> Option<Uuid> {
        self.text(name)?.parse().ok()
    }

    /// As it came: a unit of work may run twice.
    fn value(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

/// Asks the authenticator.
fn ask(asked: &Asked) -> HttpResponse {
    private(StatusCode::OK, &json!({ "ceremony": asked.ceremony, "publicKey": asked.options }))
}

/// The browser goes on there.
fn go(next: &str) -> HttpResponse {
    private(StatusCode::OK, &json!({ "next": next }))
}

/// What a page would have shown instead: where it leads, or that it is too late.
fn instead(response: &HttpResponse) -> HttpResponse {
    match response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok()) {
        Some(location) => go(location),
        None => out_of_date(),
    }
}

fn out_of_date() -> HttpResponse {
    say(StatusCode::CONFLICT, "out_of_date", "This page is out of date. Please reload it.")
}

/// A passkey has signed somebody in; the browser goes on at `next`.
fn signed_in(app: &App, next: &str, made: &SignedIn) -> HttpResponse {
    watch::signed_in(watch::Method::Passkey);
    let mut response = go(next);
    give_cookies(&mut response, app, made);
    response
}

/// A passkey has not signed anybody in: counted, and logged as far as the log has room for it.
fn refused_sign_in(visit: &Visit, refusal: Refusal) -> HttpResponse {
    if refusals::is_admitted(visit, false) {
        watch::refused(watch::Method::Passkey, &visit.trace, refusal.as_str());
    } else {
        watch::refused_unlogged(watch::Method::Passkey);
    }
    not_usable()
}

/// A passkey was refused: logged as far as there is room, and answered as any other.
fn refused(visit: &Visit, refusal: Refusal) -> HttpResponse {
    if refusals::is_admitted(visit, false) {
        tracing::info!(request_id = %visit.trace.request_id, reason = refusal.as_str(), "passkey refused");
    }
    not_usable()
}

/// One answer to whatever is wrong with a passkey.
fn not_usable() -> HttpResponse {
    crate::metrics::refused("passkey_refused");
    let message = "That passkey could not be used here. Please try again, or use another one.";
    say(StatusCode::FORBIDDEN, "passkey_refused", message)
}

fn say(status: StatusCode, error: &str, message: &str) -> HttpResponse {
    private(status, &json!({ "error": error, "error_description": message }))
}

/// What may be called at all: an issuer on an address has no passkeys.
fn passkeys(app: &App) -> Result<&Passkeys, HttpResponse> {
    let none = || say(StatusCode::NOT_FOUND, "no_passkeys", "There are no passkeys at this server.");
    app.passkeys.as_ref().ok_or_else(none)
}

fn answered(visit: &Visit, outcome: Result<HttpResponse, Failure>) -> HttpResponse {
    outcome.unwrap_or_else(|refused| failure(visit, None, &refused))
}
