//! A forgotten password: asking for a link by mail, and choosing another password by it.
//!
//! Invariants: whoever asks learns nothing of who has an account; a link stands for the password and for nothing else, so
//! where a code is asked for at sign-in it is asked for here, and nobody is signed in by it. Codes are counted by the link, which
//! only the mailbox has: what strangers guess elsewhere keeps nobody from it. An authorization request that
//! waits in this browser is gone back to, by its id; in another browser the link leads to the account.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    authentication::{freshness::Factors, guessing, password_rules::least, second_factor::Code},
    authorize::Owner,
    db::{
        Outcome, Tx,
        devices::{self, KnownBy},
        password_resets::{self, Resettable},
        privileged_sessions, reset_requests, second_factors, users,
    },
    failure::{Broken, Failure},
    http::{
        choosing_password::{Chooser, Chosen, choose},
        csrf,
        extract::{Form, Visit, give_device_cookie},
        pending::{Brought, find_stored},
        render::{Page, PageName, answer, views},
    },
    notices::{self, Message},
    oauth::Parameters,
    risk::{Admitted, Attempt},
    sessions::{self, DeviceCookie},
    tokens::ResetLinks,
    unicode::name_key,
};

/// A link that is good, and whose password it is for.
struct Link {
    id: Uuid,
    token: String,
    whose: Resettable,
    factors: Factors,
}

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let opened = async {
        let request = waiting(&app, &visit, &parameters).await?;
        let Some(token) = parameters.get("token") else {
            return Ok(show(&app, &visit, StatusCode::OK, &ask(&app, request, None)));
        };
        Ok(match link(&app, &visit, token).await? {
            Some(link) => show(&app, &visit, StatusCode::OK, &choice(&app, &link, request, None)),
            None => dead(&app, &visit),
        })
    };
    opened.await.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// The authorization request that is named, where it waits in this very browser.
async fn waiting(app: &App, visit: &Visit, parameters: &Parameters) -> Outcome<Option<Uuid>> {
    let Some(id) = parameters.get("request").and_then(|id| id.parse().ok()) else { return Ok(None) };
    let look = async |tx: &mut Tx| find_stored(app, visit, tx, id, Brought::Nothing).await;
    let found = app.db.single(visit.now, &visit.trace, look).await?;
    Ok(found.filter(|(_, _, owner)| matches!(owner, Owner::This | Owner::Successor)).map(|_| id))
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    if visit.is_of_another_site(app.config.issuer.origin()) {
        return answer::refusal(&app, &visit, &csrf::of_another_site());
    }
    let done = match form.0.get("token") {
        Some(token) => reset(&app, &visit, token, &form.0).await,
        None => send(&app, &visit, &form.0).await,
    };
    done.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// Notes what was asked. Nothing about the person happens before the answer: a job looks who is meant, and writes to them.
async fn send(app: &App, visit: &Visit, form: &Parameters) -> Outcome<HttpResponse> {
    let name = form.get("username").unwrap_or_default().trim();
    let request = waiting(app, visit, form).await?;
    if name.is_empty() || name.len() > 256 {
        let error = "Please enter your username or your email address.";
        return Ok(show(app, visit, StatusCode::BAD_REQUEST, &ask(app, request, Some(error))));
    }
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            app.sources
                .count_reset(tx, &name_key(name))
                .await?
                .or_later("too many links were asked for; please wait before you ask again")?;
            if reset_requests::insert(tx, name, request).await? {
                Ok(())
            } else {
                Err(Failure::from(Broken::unavailable("too many requests for reset links wait")))
            }
        })
        .await?;
    Ok(show(app, visit, StatusCode::OK, &views::ResetPassword { sent: true, ..ask(app, request, None) }))
}

async fn link(app: &App, visit: &Visit, token: &str) -> Outcome<Option<Link>> {
    let Some(id) = app.resets.verify(token) else { return Ok(None) };
    app.db
        .single(visit.now, &visit.trace, async |tx| {
            let Some(whose) = password_resets::find(tx, id).await? else { return Ok(None) };
            let factors = Factors::load(tx, whose.user_id).await?;
            Ok(Some(Link { id, token: token.to_owned(), whose, factors }))
        })
        .await
}

async fn reset(app: &App, visit: &Visit, token: &str, form: &Parameters) -> Outcome<HttpResponse> {
    let Some(link) = link(app, visit, token).await? else { return Ok(dead(app, visit)) };
    let request = waiting(app, visit, form).await?;
    let wrong = |status, error: &str| Ok(show(app, visit, status, &choice(app, &link, request, Some(error))));
    let key = link.whose.user_id.to_string();
    let chooser = Chooser {
        key: &key,
        username: &link.whose.username,
        claims: &link.whose.claims,
        alone: !link.factors.has_another(),
        administrator: false,
    };
    let chosen = match choose(app, visit, form, &chooser).await? {
        Ok(chosen) => chosen,
        Err(error) => return wrong(StatusCode::BAD_REQUEST, &error),
    };
    let code = form.get("code").unwrap_or_default().trim();
    let mut counted = None;
    if link.factors.totp {
        if code.is_empty() || code.len() > 64 {
            return wrong(StatusCode::BAD_REQUEST, "Please enter a code of your authenticator app, too.");
        }
        let count = async |tx: &mut Tx| count_code(app, tx, &link).await;
        counted = app.db.work(visit.now, &visit.trace, count).await?;
        if counted.is_none() {
            return Ok(dead(app, visit));
        }
    }
    let given = Given { chosen: &chosen, code, counted, end_all: form.get("end_others").is_some() };
    let done = app.db.work(visit.now, &visit.trace, async |tx| set(app, tx, &link, &given).await).await?;
    Ok(match done {
        Done::Set(device) => {
            let strength = chosen.strength.said().to_owned();
            let advice = chosen.strength.advice.clone();
            // What waited in a session that has just been ended may not wait any more.
            let request = waiting(app, visit, form).await?;
            let context = views::ResetPassword { done: true, strength, advice, ..ask(app, request, None) };
            let mut response = show(app, visit, StatusCode::OK, &context);
            if let Some(device) = device {
                give_device_cookie(&mut response, app, &device);
            }
            response
        }
        Done::WrongCode => return wrong(StatusCode::UNAUTHORIZED, "That code is not right, or was used before."),
        Done::Dead => dead(app, visit),
    })
}

/// What was given with the link.
struct Given<'a> {
    chosen: &'a Chosen,
    code: &'a str,
    /// The code, where one is asked for.
    counted: Option<Counted>,
    end_all: bool,
}

/// A code that was counted.
struct Counted {
    admitted: Admitted,
    is_last: bool,
}

/// Counts a code before it is looked at. `None`: the link is dead.
async fn count_code(app: &App, tx: &mut Tx, link: &Link) -> Outcome<Option<Counted>> {
    let Some(is_last) = password_resets::count_code(tx, link.id).await? else { return Ok(None) };
    let gate = app.sources.count(tx, Attempt::LinkCode, &link.whose.user_id.to_string(), None).await?;
    let admitted = gate.or_later("too many codes; please wait a moment")?;
    Ok(Some(Counted { admitted, is_last }))
}

enum Done {
    /// With the cookie by which this browser is known from now on.
    Set(Option<DeviceCookie>),
    WrongCode,
    Dead,
}

/// Sets the password, the code first: a wrong one leaves the link as it is, but for the last, of which it dies. It commits
/// whatever it says.
async fn set(app: &App, tx: &mut Tx, link: &Link, given: &Given<'_>) -> Outcome<Done> {
    let Given { chosen, code, counted, end_all } = given;
    let user_id = link.whose.user_id;
    let subject = Subject { user_id: Some(user_id), ..Subject::default() };
    // In the order in which others lock them: a declared password, a sign-in with a code, an app that is removed.
    second_factors::hold_person(tx, user_id).await?;
    privileged_sessions::lock_person(tx, user_id).await?;
    // Again, and now with the change: an app may have been added while the page was open.
    let factors = Factors::load(tx, user_id).await?;
    if factors.totp {
        // Of an app that has just been added none was asked for, and none is counted.
        let Some(counted) = counted else { return Ok(Done::WrongCode) };
        if let Code::Wrong(reason) = app.codes.take(tx, user_id, code).await? {
            audit::record(tx, Event::refused(Action::PasswordReset, Actor::Visitor, subject, reason));
            if !counted.is_last {
                return Ok(Done::WrongCode);
            }
            password_resets::consume(tx, link.id).await?;
            guessing::warn_of_codes(tx, &app.sources, user_id).await?;
            return Ok(Done::Dead);
        }
        app.sources.forgive(tx, &counted.admitted).await?;
    }
    if !password_resets::consume(tx, link.id).await? {
        return Ok(Done::Dead);
    }
    users::set_password(tx, user_id, &chosen.phc, None).await?;
    // What was guessed at was the password before; and whoever has the mailbox signs in here next, whatever strangers do.
    app.sources.forget_failures(tx, user_id, &link.whose.username, &link.whose.claims).await?;
    sessions::end_unproved(tx, user_id, Actor::User).await?;
    let ended = if *end_all { sessions::end_all_of_user(tx, user_id, "ended_by_user", Actor::User).await? } else { 0 };
    let event = Event::done(Action::PasswordReset, Actor::Visitor, subject);
    audit::record(tx, event.detail(json!({ "code": factors.totp, "sessions_ended": ended })));
    notices::tell(tx, user_id, &Message::PasswordReset).await?;
    devices::forget(tx, user_id, None, None).await?;
    Ok(Done::Set(sessions::remember_device(tx, user_id, KnownBy::PasswordReset).await?))
}

fn ask(app: &App, request: Option<Uuid>, error: Option<&str>) -> views::ResetPassword {
    let sign_in = request.map_or_else(|| "/account".to_owned(), |id| format!("/login?request={id}"));
    views::ResetPassword {
        action: app.config.issuer.url("/reset-password"),
        request: request.map(|id| id.to_string()),
        sign_in: app.config.issuer.url(&sign_in),
        minutes: ResetLinks::LIFETIME.num_minutes(),
        error: error.map(str::to_owned),
        ..views::ResetPassword::default()
    }
}

fn choice(app: &App, link: &Link, request: Option<Uuid>, error: Option<&str>) -> views::ResetPassword {
    views::ResetPassword {
        token: Some(link.token.clone()),
        username: link.whose.username.clone(),
        code: link.factors.totp,
        least: least(!link.factors.has_another()),
        ..ask(app, request, error)
    }
}

fn show(app: &App, visit: &Visit, status: StatusCode, context: &views::ResetPassword) -> HttpResponse {
    answer::page(app, visit, Page::new(PageName::ResetPassword).status(status), context)
}

fn dead(app: &App, visit: &Visit) -> HttpResponse {
    let message = "It was used, it is too old, wrong codes were given with it, or the password was changed since.";
    let address = app.config.issuer.url("/reset-password");
    let way = views::Way { label: "Ask for a new link".to_owned(), address };
    answer::error_page(app, visit, StatusCode::NOT_FOUND, "This link is not good any more", message, None, Some(way))
}
