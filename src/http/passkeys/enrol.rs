//! A further passkey for somebody who is signed in, and has just shown it as strongly as they can.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use uuid::Uuid;

use super::{Call, answered, ask, go, out_of_date, passkeys, refused, say};
use crate::{
    app::App,
    authentication::{
        ceremony::{self, Answer},
        freshness,
        passkey::Passkeys,
    },
    db::{Outcome, Tx, credentials, sessions::LiveSession},
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, JsonBody, Visit},
        signing_in::Destination,
    },
    notices::{self, Message},
    sessions,
};

/// The longest name of a passkey, in characters.
const LONGEST_LABEL: usize = 64;

/// A name as it is kept; `None`: it is none.
pub fn label(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty() && text.chars().count() <= LONGEST_LABEL).then_some(text)
}

/// `POST /passkeys/enrol/options` with `csrf`.
pub async fn options(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    match passkeys(&app) {
        Ok(passkeys) => answered(&visit, begin(&app, &visit, passkeys, &Call(body.0)).await),
        Err(response) => response,
    }
}

async fn begin(app: &App, visit: &Visit, passkeys: &Passkeys, call: &Call) -> Outcome<HttpResponse> {
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let Some((session, user_id)) = caller(app, visit, tx, call).await? else { return Ok(out_of_date()) };
            if !freshness::may_change_factors(tx, &session).await? {
                return Ok(go(&Destination::Account.confirmation(app)));
            }
            let asked = ceremony::ask_for_new(tx, passkeys, &session, user_id).await?;
            Ok::<_, Failure>(match asked {
                Some(asked) => ask(&asked),
                None => say(
                    StatusCode::CONFLICT,
                    "too_many",
                    "You have as many passkeys as there may be. Remove one first.",
                ),
            })
        })
        .await
}

/// `POST /passkeys/enrol` with `csrf`, `label`, `ceremony` and `credential`.
pub async fn finish(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    match passkeys(&app) {
        Ok(passkeys) => answered(&visit, add(&app, &visit, passkeys, Call(body.0)).await),
        Err(response) => response,
    }
}

async fn add(app: &App, visit: &Visit, passkeys: &Passkeys, call: Call) -> Outcome<HttpResponse> {
    let Some(ceremony) = call.id("ceremony") else { return Ok(out_of_date()) };
    let label = call.text("label").and_then(label).unwrap_or_else(|| "Passkey".to_owned());
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let Some((session, user_id)) = caller(app, visit, tx, &call).await? else { return Ok(out_of_date()) };
            let answer = Answer { ceremony, session: &session, request_id: None, credential: call.value("credential") };
            let made = match ceremony::take_new(tx, passkeys, answer).await? {
                Ok(made) => made,
                Err(refusal) => return Ok(refused(visit, refusal)),
            };
            // Something stronger may have been added since this was begun, which is what it takes now.
            credentials::lock_person(tx, user_id).await?;
            if !freshness::may_finish_change(tx, &session).await? {
                return Ok(go(&Destination::Account.confirmation(app)));
            }
            let added = ceremony::add(tx, user_id, &made.enrolled, &label, sessions::subject(&session)).await?;
            Ok::<_, Failure>(match added {
                Ok(_) => {
                    notices::tell(tx, user_id, &Message::PasskeyAdded { label: &label }).await?;
                    go(&app.config.issuer.url("/account?done=passkey-added"))
                }
                Err(refusal) => refused(visit, refusal),
            })
        })
        .await
}

/// Who is signed in, if the call carries the token of their pages.
async fn caller(app: &App, visit: &Visit, tx: &mut Tx, call: &Call) -> Outcome<Option<(LiveSession, Uuid)>> {
    let Some(session) = Browser::find(app, visit, tx).await?.session else { return Ok(None) };
    let fits = call.text("csrf").is_some_and(|tag| csrf::token_fits(app, &session, tag));
    Ok(session.user_id.filter(|_| fits).map(|user_id| (session, user_id)))
}
