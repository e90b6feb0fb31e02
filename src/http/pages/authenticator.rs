//! One's authenticator app and recovery codes: adding, removing, new codes. What is needed to do so has just been shown.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Path},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authentication::{freshness, guessing, totp::Offer},
    db::{Outcome, Tx, privileged_sessions, recovery_codes, sessions::LiveSession, totp},
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit},
        render::{Page, PageName, Qr, answer, views},
        signing_in::Destination,
    },
    notices::{self, Message},
    oauth::{Error, Parameters},
    risk::Admitted,
    sessions,
};

/// Where somebody goes on.
enum Next {
    See(String),
    Offer(views::Authenticator, StatusCode),
    Codes(views::RecoveryCodes),
    /// The same as a file.
    File(Vec<String>),
}

/// `GET /account/authenticator`: a new secret for an app.
pub async fn get(app: Data<App>, visit: Visit) -> HttpResponse {
    let shown = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let (session, user_id) = match may_change(&app, &visit, tx, Destination::Authenticator).await? {
                Ok(found) => found,
                Err(next) => return Ok(next),
            };
            if totp::find(tx, user_id).await?.is_some() {
                return Ok(Next::See(app.config.issuer.url("/account")));
            }
            let username = session.username.as_deref().unwrap_or_default();
            let offer = app.codes.authenticators.offer(session.root_id, user_id, username);
            Ok::<_, Failure>(Next::Offer(offered(&app, &session, offer, None), StatusCode::OK))
        })
        .await;
    answered(&app, &visit, shown)
}

/// `POST /account/authenticator/{action}`.
pub async fn post(app: Data<App>, visit: Visit, action: Path<String>, form: Form) -> HttpResponse {
    let done = run(&app, &visit, &action, &form.0).await;
    answered(&app, &visit, done)
}

async fn run(app: &App, visit: &Visit, action: &str, form: &Parameters) -> Outcome<Next> {
    let destination = if action == "add" { Destination::Authenticator } else { Destination::Account };
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let (session, user_id) = match may_change(app, visit, tx, destination).await? {
                Ok(found) => found,
                Err(next) => return Ok(next),
            };
            csrf::check(app, &session, form)?;
            match action {
                "add" => {
                    let gate = guessing::count_code(tx, &app.sources, user_id).await?;
                    let buckets = gate.or_later("too many codes; please wait a moment")?;
                    add(app, tx, &session, user_id, form, &buckets).await
                }
                "remove" => remove(app, tx, &session, user_id).await,
                "codes" => renew(app, tx, &session, user_id, false).await,
                _ => Err(Error::invalid_request("there is no such action").into()),
            }
        })
        .await
}

async fn add(
    app: &App,
    tx: &mut Tx,
    session: &LiveSession,
    user_id: Uuid,
    form: &Parameters,
    counted: &Admitted,
) -> Outcome<Next> {
    let (nonce, code) = (form.require("nonce")?, form.get("code").unwrap_or_default());
    if nonce.len() > 64 {
        return Err(Error::invalid_request("this form is not one of ours").into());
    }
    if totp::find(tx, user_id).await?.is_some() {
        return Ok(Next::See(app.config.issuer.url("/account")));
    }
    let confirmed = app.codes.authenticators.confirm(tx, session.root_id, user_id, nonce, code).await?;
    if !confirmed {
        let username = session.username.as_deref().unwrap_or_default();
        let offer = app.codes.authenticators.offer_again(session.root_id, user_id, username, nonce.to_owned());
        let error = "That code does not fit. Is the clock of your device right?";
        return Ok(Next::Offer(offered(app, session, offer, Some(error)), StatusCode::BAD_REQUEST));
    }
    app.sources.forgive(tx, counted).await?;
    tell(tx, session, Action::CredentialAdded, "totp");
    notices::tell(tx, user_id, &Message::AuthenticatorAdded).await?;
    renew(app, tx, session, user_id, true).await
}

async fn remove(app: &App, tx: &mut Tx, session: &LiveSession, user_id: Uuid) -> Outcome<Next> {
    // As privileged work does: it has begun, and is ended below, or sees that the app is gone.
    privileged_sessions::lock_person(tx, user_id).await?;
    if !totp::end(tx, user_id).await? {
        return Ok(Next::See(app.config.issuer.url("/account")));
    }
    // They stand in for the app, and go with it.
    recovery_codes::end(tx, user_id).await?;
    sessions::end_unproved(tx, user_id, Actor::User).await?;
    tell(tx, session, Action::CredentialRemoved, "totp");
    notices::tell(tx, user_id, &Message::AuthenticatorRemoved).await?;
    Ok(Next::See(app.config.issuer.url("/account?done=authenticator-removed")))
}

/// New recovery codes; `first`: with the app that has just been added.
async fn renew(app: &App, tx: &mut Tx, session: &LiveSession, user_id: Uuid, first: bool) -> Outcome<Next> {
    if totp::find(tx, user_id).await?.is_none() {
        return Ok(Next::See(app.config.issuer.url("/account")));
    }
    privileged_sessions::lock_person(tx, user_id).await?;
    let set = app.codes.recovery.renew(tx, user_id, session.root_id).await?;
    sessions::end_unproved(tx, user_id, Actor::User).await?;
    tell(tx, session, Action::RecoveryCodesMade, "recovery");
    if !first {
        notices::tell(tx, user_id, &Message::RecoveryCodesMade).await?;
    }
    Ok(Next::See(codes_address(app, "codes", &set, first)))
}

fn codes_address(app: &App, name: &str, set: &str, first: bool) -> String {
    let set: String = url::form_urlencoded::byte_serialize(set.as_bytes()).collect();
    let first = if first { "&first=yes" } else { "" };
    app.config.issuer.url(&format!("/account/authenticator/{name}?set={set}{first}"))
}

/// `GET /account/authenticator/codes`, and `codes.txt` as a file: the set that has just been made, in the session that made it.
pub async fn codes(app: Data<App>, visit: Visit, name: Path<String>, request: HttpRequest) -> HttpResponse {
    if !matches!(name.as_str(), "codes" | "codes.txt") {
        let message = "There is nothing at this address.";
        return answer::error_page(&app, &visit, StatusCode::NOT_FOUND, "Not found", message, None, None);
    }
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let (set, first) = (parameters.get("set").unwrap_or_default(), parameters.get("first").is_some());
    let shown = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            // The proof that the set was made with is of the last minutes, and of this very session.
            let browser = Browser::find(&app, &visit, tx).await?;
            let Some((session, user_id)) = browser.signed_in() else {
                return Ok(Next::See(app.config.issuer.url("/login")));
            };
            let codes = app.codes.recovery.show(tx, user_id, session.root_id, set).await?;
            if codes.is_empty() {
                return Ok(Next::See(app.config.issuer.url("/account?done=codes-hidden")));
            }
            if name.as_str() == "codes.txt" {
                return Ok(Next::File(codes));
            }
            let file = codes_address(&app, "codes.txt", set, false);
            let account = app.config.issuer.url("/account");
            let username = session.username.clone().unwrap_or_default();
            Ok::<_, Failure>(Next::Codes(views::RecoveryCodes { first, username, codes, file, account }))
        })
        .await;
    answered(&app, &visit, shown)
}

/// Whoever is signed in and may change what they sign in with; `Err`: where they go instead.
async fn may_change(
    app: &App,
    visit: &Visit,
    tx: &mut Tx,
    destination: Destination,
) -> Outcome<Result<(LiveSession, Uuid), Next>> {
    let browser = Browser::find(app, visit, tx).await?;
    let Some((session, user_id)) = browser.signed_in() else {
        return Ok(Err(Next::See(app.config.issuer.url("/login"))));
    };
    if !freshness::may_change_factors(tx, session).await? {
        return Ok(Err(Next::See(destination.confirmation(app))));
    }
    Ok(Ok((session.clone(), user_id)))
}

fn offered(app: &App, session: &LiveSession, offer: Offer, error: Option<&str>) -> views::Authenticator {
    views::Authenticator {
        action: app.config.issuer.url("/account/authenticator/add"),
        csrf: csrf::token(app, session),
        nonce: offer.nonce,
        secret: offer.secret,
        qr: Qr::of(&offer.link),
        link: offer.link,
        account: app.config.issuer.url("/account"),
        error: error.map(str::to_owned),
    }
}

fn tell(tx: &mut Tx, session: &LiveSession, action: Action, kind: &str) {
    let event = Event::done(action, Actor::User, sessions::subject(session));
    audit::record(tx, event.detail(json!({ "kind": kind })));
}

fn answered(app: &App, visit: &Visit, next: Outcome<Next>) -> HttpResponse {
    match next {
        Ok(Next::See(url)) => answer::see_other(&url),
        Ok(Next::Offer(context, status)) => {
            answer::page(app, visit, Page::new(PageName::Authenticator).status(status), &context)
        }
        Ok(Next::Codes(context)) => answer::page(app, visit, Page::new(PageName::RecoveryCodes), &context),
        Ok(Next::File(codes)) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"recovery-codes.txt\""))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(codes.join("\n") + "\n"),
        Err(failure) => answer::failure(app, visit, &failure),
    }
}
