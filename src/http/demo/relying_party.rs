//! The demo application: signs people in, shows what it was given, and lets them try it before and after the session
//! has ended. It shows what no real application would: the tokens themselves.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite},
    http::{StatusCode, header},
    web,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    challenge::StepUp,
    openid::{Answer, Party, Tokens, Trouble},
    seats::{Held, Note, Seat, Seats},
};
use crate::{
    failure::Broken,
    http::{
        assets,
        extract::cookies,
        render::{
            Page, PageName, Templates, last_resort,
            views::{DemoApiResult, DemoHome, DemoSignedIn, Person},
        },
    },
    jose::constant_time_eq,
};

pub const CALLBACK: &str = "/callback";
pub const SIGNED_OUT: &str = "/signed-out";
const SIGN_IN: &str = "/sign-in";
const CALL: &str = "/call";
const PAY: &str = "/pay";
const STEP_UP: &str = "/step-up";
const REFRESH: &str = "/refresh";
const END: &str = "/end";
const FORGET: &str = "/forget";

/// The application, shared by its workers.
pub struct RelyingParty {
    pub party: Party,
    pub http: reqwest::Client,
    pub templates: Templates,
    /// Its own address.
    pub origin: String,
    /// The resource of the demo API.
    pub api: String,
    /// Its privileged resource.
    pub payments: String,
    /// The server's page for one's own sessions.
    pub account: String,
    /// Whom one can be, and their passwords.
    pub users: Vec<(String, String)>,
    /// The name of its cookie. It carries the port: browsers send a cookie to every port of its host (RFC 6265 §8.5).
    pub cookie: String,
    pub seats: Seats,
}

type Shared = web::Data<RelyingParty>;

/// Why a form is not acted on.
enum Stray {
    /// Nobody is signed in in this browser: the demo was started anew, or another tab has left.
    Nobody,
    /// It does not come from a page of ours.
    Foreign,
}

/// The token of a form.
#[derive(Deserialize)]
struct Sent {
    csrf: String,
}

pub fn routes(service: &mut web::ServiceConfig) {
    service
        .route("/", web::get().to(home))
        .route(SIGN_IN, web::get().to(sign_in))
        .route(CALLBACK, web::get().to(callback))
        .route(SIGNED_OUT, web::get().to(signed_out))
        .route(CALL, web::post().to(call))
        .route(PAY, web::post().to(pay))
        .route(STEP_UP, web::get().to(step_up))
        .route(REFRESH, web::post().to(refresh))
        .route(END, web::post().to(end))
        .route(FORGET, web::post().to(forget))
        .route("/assets/{name}", web::get().to(assets::asset));
}

async fn home(request: HttpRequest, app: Shared) -> HttpResponse {
    let seat = app.seat_name(&request).and_then(|id| {
        app.seats.with(&id, |seat| {
            let shown = seat.clone();
            seat.note = None;
            // Shown once: beside what has become of the session since, it would be a riddle.
            if let Some(held) = &mut seat.held {
                held.api_result = None;
            }
            shown
        })
    });
    match seat {
        Some(Seat { held: Some(held), csrf, note, .. }) => app.show(held, csrf, note).await,
        Some(seat) => app.welcome(StatusCode::OK, seat.note),
        None => app.welcome(StatusCode::OK, None),
    }
}

#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn sign_in(request: HttpRequest, app: Shared) -> HttpResponse {
    let asked = app.party.begin();
    let url = asked.url.clone();
    // The cookie is what ties the answer to this browser; without it anybody's answer would do (login CSRF).
    if let Some(id) = app.seat_name(&request)
        && app.seats.with(&id, |seat| seat.remember(asked.clone())).is_some()
    {
        return see(&url).finish();
    }
    let id = app.seats.take(None);
    app.seats.with(&id, |seat| seat.remember(asked));
    see(&url).cookie(app.seat_cookie(id)).finish()
}

async fn callback(request: HttpRequest, app: Shared) -> HttpResponse {
    let id = app.seat_name(&request).unwrap_or_default();
    // What cannot be read (RFC 6749 §3.1: no parameter twice) has no state that was sent.
    let answer: Answer = serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
    let state = answer.state.as_deref().unwrap_or_default();
    let Some(Some(asked)) = app.seats.with(&id, |seat| seat.recall(state)) else {
        let error = "This answer belongs to no sign-in that was begun in this browser.";
        return app.welcome(StatusCode::BAD_REQUEST, Some(Note::Refused(error.to_owned())));
    };
    let redeemed = match app.party.check(&asked, &answer) {
        Ok(code) => app.party.redeem(&asked, code).await,
        Err(trouble) => Err(trouble),
    };
    match redeemed {
        Ok(tokens) => {
            // A new name: whoever knew the one from before the sign-in knows nothing now.
            app.seats.leave(&id);
            let person = app.person(&tokens).await;
            let id = app.seats.take(Some(Held { tokens, person, api_result: None, step_up: None }));
            if asked.stepping_up {
                app.done(&id, "It was you. The application has a new token, good for a payment: make it now.");
            }
            see("/").cookie(app.seat_cookie(id)).finish()
        }
        Err(trouble) if trouble.code.as_deref() == Some("access_denied") => {
            app.done(&id, "You did not allow it. Nothing was shared.");
            see("/").finish()
        }
        Err(trouble) if trouble.code.as_deref() == Some("unmet_authentication_requirements") => {
            app.done(&id, "That takes a passkey: add one on your account page, then make the payment again.");
            see("/").finish()
        }
        Err(trouble) => {
            app.welcome(StatusCode::BAD_REQUEST, Some(Note::Refused(format!("The sign-in failed: {trouble}."))))
        }
    }
}

async fn call(request: HttpRequest, app: Shared, sent: web::Form<Sent>) -> HttpResponse {
    let call = app.http.get(&app.api);
    app.call(&request, &sent, call).await
}

async fn pay(request: HttpRequest, app: Shared, sent: web::Form<Sent>) -> HttpResponse {
    let call = app.http.post(&app.payments);
    app.call(&request, &sent, call).await
}

/// Back to the server, with what the API asked for.
#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn step_up(request: HttpRequest, app: Shared) -> HttpResponse {
    let asked = app.seat_name(&request).and_then(|id| {
        app.seats.with(&id, |seat| {
            let step_up = seat.held.as_ref()?.step_up.clone()?;
            let asked = app.party.begin_for(&step_up);
            seat.remember(asked.clone());
            Some(asked)
        })?
    });
    match asked {
        Some(asked) => see(&asked.url).finish(),
        None => see("/").finish(),
    }
}

async fn refresh(request: HttpRequest, app: Shared, sent: web::Form<Sent>) -> HttpResponse {
    let (id, held) = match app.sender(&request, &sent) {
        Ok(sender) => sender,
        Err(stray) => return app.turn_away(&stray),
    };
    match app.party.refresh(&held.tokens).await {
        Ok(tokens) => {
            let held = Held { tokens, person: held.person, api_result: None, step_up: None };
            app.seats.with(&id, |seat| seat.held = Some(held));
            app.done(&id, "New tokens came, and the refresh token was replaced; the session is the same.");
        }
        Err(trouble) => app.note(&id, Note::Refused(format!("The refresh token was refused: {trouble}."))),
    }
    see("/").finish()
}

#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn end(request: HttpRequest, app: Shared, sent: web::Form<Sent>) -> HttpResponse {
    match app.sender(&request, &sent) {
        Ok((_, held)) => {
            let return_to = format!("{}{SIGNED_OUT}", app.origin);
            see(&app.party.end_session_url(&held.tokens.id_token, &return_to)).finish()
        }
        Err(stray) => app.turn_away(&stray),
    }
}

/// The server sends the browser here after the sign-out. It says nothing about the session: the page asks.
#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn signed_out() -> HttpResponse {
    see("/").finish()
}

#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn forget(request: HttpRequest, app: Shared, sent: web::Form<Sent>) -> HttpResponse {
    match app.sender(&request, &sent) {
        Ok((id, _)) => {
            app.seats.leave(&id);
            see("/").finish()
        }
        Err(stray) => app.turn_away(&stray),
    }
}

impl RelyingParty {
    /// The seat that the browser's cookie names.
    fn seat_name(&self, request: &HttpRequest) -> Option<String> {
        let value = cookies::values(request.headers(), self.cookie.as_bytes()).next()?;
        String::from_utf8(value.to_vec()).ok()
    }

    /// A session cookie: no expiry. Not `Secure`, because the demo speaks http on the loopback interface only.
    fn seat_cookie(&self, id: String) -> Cookie<'static> {
        Cookie::build(self.cookie.clone(), id).path("/").http_only(true).same_site(SameSite::Lax).finish()
    }

    /// Calls the API for whoever sent the form, and keeps what it answered for the next page.
    async fn call(&self, request: &HttpRequest, sent: &Sent, call: reqwest::RequestBuilder) -> HttpResponse {
        let (id, held) = match self.sender(request, sent) {
            Ok(sender) => sender,
            Err(stray) => return self.turn_away(&stray),
        };
        match answered(call.bearer_auth(&held.tokens.access_token)).await {
            Ok(result) => {
                self.seats.with(&id, |seat| {
                    if let Some(held) = &mut seat.held {
                        held.step_up = result.challenge.as_deref().and_then(StepUp::asked);
                        held.api_result = Some(result);
                    }
                });
            }
            Err(trouble) => self.note(&id, Note::Refused(format!("The API could not be called: {trouble}."))),
        }
        see("/").finish()
    }

    /// Whose form this is, if it came from a page of ours.
    fn sender(&self, request: &HttpRequest, sent: &Sent) -> Result<(String, Held), Stray> {
        let id = self.seat_name(request).ok_or(Stray::Nobody)?;
        let (csrf, held) = self.seats.with(&id, |seat| (seat.csrf.clone(), seat.held.clone())).ok_or(Stray::Nobody)?;
        let held = held.ok_or(Stray::Nobody)?;
        if constant_time_eq(csrf.as_bytes(), sent.csrf.as_bytes()) { Ok((id, held)) } else { Err(Stray::Foreign) }
    }

    fn turn_away(&self, stray: &Stray) -> HttpResponse {
        match stray {
            Stray::Nobody => see("/").finish(),
            Stray::Foreign => {
                let error = "This form was not sent from this page, or the page was an old one. Please try again.";
                self.welcome(StatusCode::FORBIDDEN, Some(Note::Refused(error.to_owned())))
            }
        }
    }

    fn done(&self, id: &str, text: &str) {
        self.note(id, Note::Done(text.to_owned()));
    }

    fn note(&self, id: &str, note: Note) {
        self.seats.with(id, |seat| seat.note = Some(note));
    }

    fn welcome(&self, status: StatusCode, note: Option<Note>) -> HttpResponse {
        let (notice, error) = Note::told_apart(note);
        let view = DemoHome {
            sign_in: SIGN_IN.to_owned(),
            issuer: self.party.discovery.issuer.clone(),
            users: self.users.clone(),
            notice,
            error,
        };
        shown(Page::new(PageName::DemoHome).status(status).respond(&self.templates, &view))
    }

    async fn show(&self, held: Held, csrf: String, note: Option<Note>) -> HttpResponse {
        let (notice, error) = Note::told_apart(note);
        let Held { tokens, person, api_result, step_up } = held;
        let (introspection, userinfo) = futures_util::future::join(
            self.party.introspect(&tokens.access_token),
            self.party.userinfo(&tokens.access_token),
        )
        .await;
        let ended = match &introspection {
            Ok(answer) if !is_active(answer) => self.is_refresh_token_dead(&tokens).await,
            _ => false,
        };
        let expired = matches!(&introspection, Ok(answer) if !is_active(answer)) && !ended;
        let view = DemoSignedIn {
            user: person,
            issuer: self.party.discovery.issuer.clone(),
            csrf,
            call_action: CALL.to_owned(),
            pay_action: PAY.to_owned(),
            step_up: step_up.map(|_| STEP_UP.to_owned()),
            refresh_action: REFRESH.to_owned(),
            end_action: END.to_owned(),
            forget_action: FORGET.to_owned(),
            account: self.account.clone(),
            ended,
            expired,
            notice,
            error,
            id_token_claims: indented(&tokens.id_claims),
            introspection: told(&introspection),
            userinfo: told(&userinfo),
            access_token: tokens.access_token,
            api_result,
        };
        // The form that ends the session is answered with a redirect to the server.
        let page = Page::new(PageName::DemoSignedIn).may_lead_elsewhere(true);
        shown(page.respond(&self.templates, &view))
    }

    /// Who signed in, as far as the server tells.
    async fn person(&self, tokens: &Tokens) -> Person {
        let told = self.party.userinfo(&tokens.access_token).await.unwrap_or_default();
        let claim = |name: &str| {
            told.get(name).or_else(|| tokens.id_claims.get(name)).and_then(Value::as_str).map(ToOwned::to_owned)
        };
        let username = claim("preferred_username").or_else(|| claim("sub")).unwrap_or_default();
        Person { username, name: claim("name") }
    }

    /// An access token dies of age, too; the refresh token tells the two apart.
    async fn is_refresh_token_dead(&self, tokens: &Tokens) -> bool {
        let Some(refresh_token) = &tokens.refresh_token else { return true };
        self.party.introspect(refresh_token).await.is_ok_and(|answer| !is_active(&answer))
    }
}

async fn answered(call: reqwest::RequestBuilder) -> Result<DemoApiResult, Trouble> {
    let answer = call.send().await?;
    let status = answer.status();
    let challenge = answer.headers().get(header::WWW_AUTHENTICATE.as_str());
    let challenge = challenge.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let body = answer.text().await?;
    let body = serde_json::from_str(&body).map_or(body, |json: Value| indented(&json));
    Ok(DemoApiResult { status: status.as_u16(), ok: status.is_success(), challenge, body })
}

fn is_active(introspection: &Map<String, Value>) -> bool {
    introspection.get("active") == Some(&Value::Bool(true))
}

fn indented(json: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default()
}

fn told(answer: &Result<Map<String, Value>, Trouble>) -> String {
    match answer {
        Ok(claims) => indented(claims),
        Err(trouble) => format!("refused: {trouble}"),
    }
}

fn shown(page: Result<HttpResponse, Broken>) -> HttpResponse {
    page.unwrap_or_else(|broken| {
        tracing::error!(%broken, "a page of the demo could not be shown");
        last_resort(StatusCode::INTERNAL_SERVER_ERROR, "")
    })
}

fn see(address: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((header::LOCATION, address)).insert_header((header::CACHE_CONTROL, "no-store"));
    answer
}
