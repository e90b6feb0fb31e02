//! Signing in with a passkey from the page that is shown where nothing may be stored (`http::crowded`).
//!
//! A page of another site cannot call it: it can send no JSON without CORS, and our cookie, which is `Strict`, does not go with
//! what it sends.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web::Data,
};
use serde_json::{Value, json};

use super::{Call, answered, instead, passkeys, refused_sign_in, say, signed_in};
use crate::{
    app::App,
    authentication::{
        passkey::{PATIENCE, Passkeys},
        stateless::{Answer, Carried, Refused, take_passkey},
    },
    db::{Outcome, Tx},
    failure::Failure,
    http::{
        extract::{Browser, JsonBody, Visit, cookies},
        render::json::private,
    },
    jose::{base64url, from_base64url, random_bytes},
    risk::watch,
    sessions::{self, SignIn},
};

/// The cookie that a question is made for.
const COOKIE: &str = "mooring_question";

/// `POST /passkeys/stateless/options` with `to`.
pub async fn options(app: Data<App>, visit: Visit, request: HttpRequest, body: JsonBody) -> HttpResponse {
    let (call, passkeys) = match passkeys(&app) {
        Ok(passkeys) => (Call(body.0), passkeys),
        Err(response) => return response,
    };
    if call.text("to").and_then(|to| app.stateless.address(to)).is_none() {
        return out_of_date();
    }
    // Two tabs share the cookie: the question of each can be answered.
    let browser = presented(&app, &request).unwrap_or_else(|| base64url(&random_bytes::<32>()));
    let asked = app.stateless.ask(passkeys, &browser, visit.now).map_err(Failure::from);
    let response = asked.map(|question| {
        let said = json!({ "ceremony": question.text, "publicKey": question.options });
        let mut response = private(StatusCode::OK, &said);
        give(&mut response, &app, browser, Duration::seconds(PATIENCE.as_secs().cast_signed()));
        response
    });
    answered(&visit, response)
}

/// `POST /passkeys/stateless` with `to`, `ceremony` and `credential`.
pub async fn finish(app: Data<App>, visit: Visit, request: HttpRequest, body: JsonBody) -> HttpResponse {
    let (call, passkeys) = match passkeys(&app) {
        Ok(passkeys) => (Call(body.0), passkeys),
        Err(response) => return response,
    };
    let next = call.text("to").and_then(|to| app.stateless.address(to));
    let browser = presented(&app, &request);
    let carried =
        call.text("ceremony").zip(browser).and_then(|(it, browser)| app.stateless.read(it, &browser, visit.now));
    let Some((next, question)) = next.zip(carried) else { return out_of_date() };
    let sent = Sent { question, credential: call.value("credential"), next };
    answered(&visit, sign_in(&app, &visit, passkeys, &sent).await)
}

/// What the page's script sent.
struct Sent<'a> {
    question: Carried,
    credential: Value,
    /// Where the browser goes on.
    next: &'a str,
}

async fn sign_in(app: &App, visit: &Visit, passkeys: &Passkeys, sent: &Sent<'_>) -> Outcome<HttpResponse> {
    let find = async |tx: &mut Tx| Browser::find(app, visit, tx).await.map_err(Failure::from);
    let browser = app.db.single(visit.now, &visit.trace, find).await?;
    if let Err(locked) = browser.refuse_locked(app, visit) {
        return Ok(instead(&locked));
    }
    let current = browser.session.as_ref();
    let taken = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let answer = Answer { question: &sent.question, credential: sent.credential.clone(), session: current };
            let proved = match take_passkey(tx, passkeys, &app.sources, answer).await? {
                Ok(proved) => proved,
                Err(refused) => return Ok(Err(refused)),
            };
            let sign_in = SignIn {
                user: &proved.user,
                proof: proved.proof,
                with: &[proved.passkey],
                // No request is stored yet: one that wants a proof of its own asks again.
                request_id: None,
                current,
                outdated: None,
            };
            Ok::<_, Failure>(Ok(sessions::sign_in(tx, &sign_in, &app.config.sessions).await?))
        })
        .await?;
    Ok(match taken {
        Ok(made) => {
            let mut response = signed_in(app, sent.next, &made);
            give(&mut response, app, String::new(), Duration::ZERO);
            response
        }
        Err(Refused::Passkey(refusal)) => refused_sign_in(visit, refusal),
        Err(Refused::TooMany(seconds)) => too_many(seconds),
    })
}

fn too_many(seconds: u32) -> HttpResponse {
    crate::metrics::refused("sign_in_throttled");
    watch::throttled(watch::Method::Passkey);
    let message = "This passkey was refused too often. Please try again in a moment.";
    let mut response = say(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn out_of_date() -> HttpResponse {
    let message = "This page is out of date, or cookies are switched off. Please reload it.";
    say(StatusCode::CONFLICT, "out_of_date", message)
}

/// The cookie that the browser shows, if it is one of ours by its form.
fn presented(app: &App, request: &HttpRequest) -> Option<String> {
    let name = app.cookies.names().name(COOKIE);
    cookies::values(request.headers(), name.as_bytes())
        .filter_map(|value| std::str::from_utf8(value).ok())
        .find(|value| from_base64url(value).is_some_and(|octets| octets.len() == 32))
        .map(str::to_owned)
}

/// Gives the browser the cookie; for no time at all: takes it away.
fn give(response: &mut HttpResponse, app: &App, value: String, kept: Duration) {
    let cookie = Cookie::build(app.cookies.names().name(COOKIE), value).path("/").http_only(true);
    let cookie = cookie.same_site(SameSite::Strict).secure(app.cookies.is_secure()).max_age(kept).finish();
    if let Err(error) = response.add_cookie(&cookie) {
        tracing::error!(%error, "the cookie of a question");
    }
}
