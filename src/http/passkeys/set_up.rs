//! The first administrator's passkey: whoever has the one-time link enrols it under a name of their choice.
//!
//! Invariant: of racing uses one makes an administrator; the link's row is the lock.

use super::{Call, answered, ask, go, out_of_date, passkeys, refused, say};
use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    authentication::{
        ceremony::{self, Answer},
        passkey::Passkeys,
    },
    config::is_username,
    db::{Outcome, Tx, set_up_links, users},
    failure::Failure,
    http::{
        extract::{Browser, JsonBody, Visit, give_cookie},
        pages::set_up::claims_of,
    },
    jose::sha256,
    notices::mail::is_address,
    oauth::Error,
    sessions,
};
use actix_web::{HttpResponse, http::StatusCode, web::Data};

/// `POST /set-up/passkey/options` with `token`, `username` and, if there is one, `email`.
pub async fn options(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    match passkeys(&app) {
        Ok(passkeys) => answered(&visit, begin(&app, &visit, passkeys, &Call(body.0)).await),
        Err(response) => response,
    }
}

async fn begin(app: &App, visit: &Visit, passkeys: &Passkeys, call: &Call) -> Outcome<HttpResponse> {
    let username = call.text("username").unwrap_or_default().trim();
    if !is_username(username) {
        return Ok(say(StatusCode::BAD_REQUEST, "invalid_username", "Please choose a username."));
    }
    let email = call.text("email").unwrap_or_default().trim();
    if !email.is_empty() && !is_address(email) {
        let message = "Please write an email address that mail can be sent to.";
        return Ok(say(StatusCode::BAD_REQUEST, "invalid_email", message));
    }
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            if !is_good(tx, call).await? {
                return Ok(dead());
            }
            if users::find_by_username(tx, username).await?.is_some() {
                return Ok(say(StatusCode::CONFLICT, "username_taken", "This username is taken."));
            }
            let browser = Browser::find(app, visit, tx).await?;
            if browser.refuse_locked(app, visit).is_err() {
                return Ok(out_of_date());
            }
            let begun = browser.session.is_none();
            let session = match browser.session {
                Some(session) => session,
                None => sessions::start_visitor(tx, &app.config.sessions).await?,
            };
            let mut response =
                ask(&ceremony::ask_for_first(tx, passkeys, &session, username, &claims_of(email)).await?);
            if begun {
                give_cookie(&mut response, app, session.id, 0);
            }
            Ok::<_, Failure>(response)
        })
        .await
}

/// `POST /set-up/passkey` with `token`, `ceremony` and `credential`.
pub async fn finish(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    match passkeys(&app) {
        Ok(passkeys) => answered(&visit, set_up(&app, &visit, passkeys, Call(body.0)).await),
        Err(response) => response,
    }
}

async fn set_up(app: &App, visit: &Visit, passkeys: &Passkeys, call: Call) -> Outcome<HttpResponse> {
    let Some(ceremony) = call.id("ceremony") else { return Ok(out_of_date()) };
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let Some(session) = Browser::find(app, visit, tx).await?.session else { return Ok(out_of_date()) };
            let answer = Answer { ceremony, session: &session, request_id: None, credential: call.value("credential") };
            let made = match ceremony::take_new(tx, passkeys, answer).await? {
                Ok(made) => made,
                Err(refusal) => return Ok(refused(visit, refusal)),
            };
            let Some((user_id, username, claims)) = made.newcomer else { return Ok(out_of_date()) };
            if !is_good(tx, &call).await? || !set_up_links::consume(tx, &secret_hash(&call)).await? {
                return Ok(dead());
            }
            // Whoever waited for the link's row sees here what the other made of it.
            if users::an_admin_exists(tx).await? {
                return Ok(dead());
            }
            let taken = || Failure::from(Error::invalid_request("this username is taken"));
            let user = users::insert_as(tx, user_id, &username, &claims, true).await?.ok_or_else(taken)?;
            let subject = Subject { user_id: Some(user.id), ..Subject::default() };
            audit::record(tx, Event::done(Action::AdministratorSetUp, Actor::Visitor, subject.clone()));
            match ceremony::add(tx, user.id, &made.enrolled, "Passkey", subject).await? {
                Ok(_) => Ok(go(&app.config.issuer.url("/login?done=set-up"))),
                // Nothing of it stays: the link is good for another try.
                Err(_) => Err(Failure::from(Error::invalid_request("this passkey cannot be used"))),
            }
        })
        .await
}

fn secret_hash(call: &Call) -> [u8; 32] {
    sha256(&[call.text("token").unwrap_or_default().as_bytes()])
}

async fn is_good(tx: &mut Tx, call: &Call) -> Outcome<bool> {
    Ok(!users::an_admin_exists(tx).await? && set_up_links::is_good(tx, &secret_hash(call)).await?)
}

fn dead() -> HttpResponse {
    say(StatusCode::NOT_FOUND, "dead_link", "This set-up link is not valid any more.")
}
