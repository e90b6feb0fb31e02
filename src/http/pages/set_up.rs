//! The first administrator: a one-time link, printed by the server at its start, enrols a passkey under a name, or sets name
//! and password. The passkey's calls are `http::passkeys::set_up`.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde_json::{Value, json};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    config::is_username,
    db::{Outcome, set_up_links, users},
    failure::Failure,
    http::{
        choosing_password::{Chooser, choose},
        extract::{Form, Visit},
        render::{Page, PageName, answer, views},
    },
    jose::{base64url, sha256},
    notices::mail::is_address,
    oauth::{Error, Parameters},
};

/// What was written into the form, but for the password.
#[derive(Default)]
struct Typed<'a> {
    username: &'a str,
    email: &'a str,
}

/// The first administrator's claims: their address, if they gave one.
pub fn claims_of(email: &str) -> Value {
    if email.is_empty() { json!({}) } else { json!({ "email": email }) }
}

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let token = parameters.get("token").unwrap_or_default();
    let good = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let dead = users::an_admin_exists(tx).await?;
            Ok::<_, Failure>(!dead && set_up_links::is_good(tx, &sha256(&[token.as_bytes()])).await?)
        })
        .await;
    match good {
        Ok(true) => show(&app, &visit, StatusCode::OK, token, &Typed::default(), None),
        Ok(false) => dead(&app, &visit),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    match run(&app, &visit, &form.0).await {
        Ok(response) => response,
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

async fn run(app: &App, visit: &Visit, form: &Parameters) -> Outcome<HttpResponse> {
    let token = form.require("token")?;
    let trimmed = |name| form.get(name).unwrap_or_default().trim();
    let typed = Typed { username: trimmed("username"), email: trimmed("email") };
    let username = typed.username;
    if !is_username(username) {
        return Ok(show(app, visit, StatusCode::BAD_REQUEST, token, &typed, Some("Please choose a username.")));
    }
    if !typed.email.is_empty() && !is_address(typed.email) {
        let error = "Please write an email address that mail can be sent to.";
        return Ok(show(app, visit, StatusCode::BAD_REQUEST, token, &typed, Some(error)));
    }
    let claims = claims_of(typed.email);
    // Before the costly hash: is there anything to set up?
    let secret_hash = sha256(&[token.as_bytes()]);
    let good = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            set_up_links::is_good(tx, &secret_hash).await.map_err(Failure::from)
        })
        .await?;
    if !good {
        return Ok(dead(app, visit));
    }
    let key = base64url(&secret_hash);
    let chooser = Chooser { key: &key, username, claims: &claims, alone: true, administrator: true };
    let chosen = match choose(app, visit, form, &chooser).await? {
        Ok(chosen) => chosen,
        Err(wrong) => return Ok(show(app, visit, StatusCode::BAD_REQUEST, token, &typed, Some(&wrong))),
    };
    let made = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            // The link's row is the lock: of two uses at once the second finds it used.
            if !set_up_links::consume(tx, &secret_hash).await? || users::an_admin_exists(tx).await? {
                return Ok(None);
            }
            let Some(user) = users::insert(tx, username, &claims, true).await? else {
                return Err(Failure::from(Error::invalid_request("this username is taken")));
            };
            users::set_password(tx, user.id, &chosen.phc, None).await?;
            let subject = Subject { user_id: Some(user.id), ..Subject::default() };
            audit::record(tx, Event::done(Action::AdministratorSetUp, Actor::Visitor, subject));
            Ok(Some(user))
        })
        .await;
    match made {
        Ok(Some(_)) => Ok(answer::see_other(&app.config.issuer.url("/login?done=set-up"))),
        Ok(None) => Ok(dead(app, visit)),
        Err(Failure::Refused(error)) => {
            Ok(show(app, visit, StatusCode::BAD_REQUEST, token, &typed, Some(error.description.as_ref())))
        }
        Err(broken) => Err(broken),
    }
}

fn show(
    app: &App,
    visit: &Visit,
    status: StatusCode,
    token: &str,
    typed: &Typed<'_>,
    error: Option<&str>,
) -> HttpResponse {
    let context = views::SetUp {
        action: app.config.issuer.url("/set-up"),
        token: token.to_owned(),
        add_passkey: app.passkeys.as_ref().map(|_| views::AddPasskey {
            options: app.config.issuer.url("/set-up/passkey/options"),
            finish: app.config.issuer.url("/set-up/passkey"),
            csrf: None,
            token: Some(token.to_owned()),
        }),
        username: typed.username.to_owned(),
        email: typed.email.to_owned(),
        error: error.map(str::to_owned),
    };
    answer::page(app, visit, Page::new(PageName::SetUp).status(status), &context)
}

fn dead(app: &App, visit: &Visit) -> HttpResponse {
    let message = "It was used, it is older than an hour, or this server already has an administrator.";
    let hint = "Restart the server for a new link, or add an administrator with the command \u{201c}mooring user add NAME --admin\u{201d}.";
    answer::error_page(app, visit, StatusCode::NOT_FOUND, "This set-up link is not valid", message, Some(hint), None)
}
