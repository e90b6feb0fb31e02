//! Signing in with a passkey, for a request that waits or for a page of our own; also signing in again.
//!
//! Whoever is signed in and to prove it again is the only one who can: another person's passkey is refused.

use actix_web::{HttpResponse, web::Data};

use super::{Call, answered, ask, instead, out_of_date, passkeys, refused_sign_in, say, signed_in};
use crate::{
    app::App,
    authentication::{
        ceremony::{self, Answer},
        passkey::Passkeys,
    },
    db::Outcome,
    failure::Failure,
    http::{
        extract::{JsonBody, Visit},
        pending::Brought,
        signing_in::Purpose,
    },
    sessions::{self, SignIn},
};

/// `POST /passkeys/sign-in/options` with `csrf`, and `request`, `confirm`, `as` where the page has them.
pub async fn options(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    let (call, passkeys) = match passkeys(&app) {
        Ok(passkeys) => (Call(body.0), passkeys),
        Err(response) => return response,
    };
    match purpose(&app, &visit, &call).await {
        Ok(purpose) => answered(&visit, begin(&app, &visit, passkeys, &purpose, &call).await),
        Err(response) => response,
    }
}

async fn begin(app: &App, visit: &Visit, passkeys: &Passkeys, purpose: &Purpose, call: &Call) -> Outcome<HttpResponse> {
    let Some(session) = &purpose.browser().session else { return Ok(out_of_date()) };
    let bound = purpose.bound_to(app, call.text("as") == Some("another"));
    let asked = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let asked = ceremony::ask_for_passkey(tx, passkeys, session, purpose.request_id(), bound).await?;
            Ok::<_, Failure>(asked)
        })
        .await?;
    Ok(match asked {
        Some(asked) => ask(&asked),
        None => say(
            actix_web::http::StatusCode::CONFLICT,
            "no_passkey",
            "You have no passkey yet. You can add one on your account page.",
        ),
    })
}

/// `POST /passkeys/sign-in` with the same members, `ceremony` and `credential`.
pub async fn finish(app: Data<App>, visit: Visit, body: JsonBody) -> HttpResponse {
    let (call, passkeys) = match passkeys(&app) {
        Ok(passkeys) => (Call(body.0), passkeys),
        Err(response) => return response,
    };
    match purpose(&app, &visit, &call).await {
        Ok(purpose) => answered(&visit, sign_in(&app, &visit, passkeys, &purpose, call).await),
        Err(response) => response,
    }
}

async fn sign_in(
    app: &App,
    visit: &Visit,
    passkeys: &Passkeys,
    purpose: &Purpose,
    call: Call,
) -> Outcome<HttpResponse> {
    let (Some(session), Some(ceremony)) = (&purpose.browser().session, call.id("ceremony")) else {
        return Ok(out_of_date());
    };
    let taken = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let answer =
                Answer { ceremony, session, request_id: purpose.request_id(), credential: call.value("credential") };
            let proved = match ceremony::take_passkey(tx, passkeys, answer).await? {
                Ok(proved) => proved,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let sign_in = SignIn {
                user: &proved.user,
                proof: proved.proof,
                with: &[proved.passkey],
                request_id: purpose.request_id(),
                current: Some(session),
                outdated: None,
            };
            Ok::<_, Failure>(Ok(sessions::sign_in(tx, &sign_in, &app.config.sessions).await?))
        })
        .await?;
    Ok(match taken {
        Ok(made) => signed_in(app, &purpose.next(app), &made),
        Err(refusal) => refused_sign_in(visit, refusal),
    })
}

/// What the page that calls is for; it carries that page's token.
async fn purpose(app: &App, visit: &Visit, call: &Call) -> Result<Purpose, HttpResponse> {
    let brought = Brought::Form(call.text("csrf"));
    let found = Purpose::find(app, visit, call.text("request"), brought, call.text("confirm"), false).await;
    let (purpose, _) = found.map_err(|response| instead(&response))?;
    let fits = call.text("csrf").is_some_and(|tag| purpose.token_fits(app, tag));
    if fits { Ok(purpose) } else { Err(out_of_date()) }
}
