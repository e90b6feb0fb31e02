//! Another password for somebody who is signed in, and has just shown it as strongly as they can.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authentication::freshness::{self, Factors},
    db::{
        Outcome, Tx, second_factors,
        sessions::{self as session_rows, LiveSession},
        users,
    },
    failure::Failure,
    http::{
        choosing_password::{Chooser, Chosen, choose},
        csrf,
        extract::{Browser, Form, Visit},
        render::{Page, PageName, answer, views},
        signing_in::Destination,
    },
    notices::{self, Message},
    oauth::{Error, Parameters},
    sessions::{self, Offline},
};

pub async fn get(app: Data<App>, visit: Visit) -> HttpResponse {
    match changer(&app, &visit).await {
        Ok(Ok(changer)) => show(&app, &visit, &changer, StatusCode::OK, None),
        Ok(Err(elsewhere)) => answer::see_other(&elsewhere),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    match run(&app, &visit, &form.0).await {
        Ok(response) => response,
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

/// Who may change their password now.
struct Changer {
    session: LiveSession,
    user_id: Uuid,
    factors: Factors,
}

/// `Err`: where to go instead.
async fn changer(app: &App, visit: &Visit) -> Outcome<Result<Changer, String>> {
    app.db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            let Some((session, user_id)) = browser.signed_in() else {
                return Ok(Err(Destination::Password.confirmation(app)));
            };
            if !freshness::may_change_factors(tx, session).await? {
                return Ok(Err(Destination::Password.confirmation(app)));
            }
            let factors = Factors::load(tx, user_id).await?;
            Ok(Ok(Changer { session: session.clone(), user_id, factors }))
        })
        .await
}

async fn run(app: &App, visit: &Visit, form: &Parameters) -> Outcome<HttpResponse> {
    let changer = match changer(app, visit).await? {
        Ok(changer) => changer,
        Err(elsewhere) => return Ok(answer::see_other(&elsewhere)),
    };
    csrf::check(app, &changer.session, form)?;
    let username = changer.session.username.clone().unwrap_or_default();
    let claims = changer.session.user_claims.clone().unwrap_or_default();
    let key = changer.user_id.to_string();
    let alone = !changer.factors.has_another();
    let chooser = Chooser { key: &key, username: &username, claims: &claims, alone, administrator: false };
    let chosen = match choose(app, visit, form, &chooser).await? {
        Ok(chosen) => chosen,
        Err(wrong) => return Ok(show(app, visit, &changer, StatusCode::BAD_REQUEST, Some(&wrong))),
    };
    app.db
        .work(visit.now, &visit.trace, async |tx| change(tx, &changer, &chosen, form.get("end_others").is_some()).await)
        .await?;
    Ok(answer::see_other(&app.config.issuer.url(&format!("/account?done=password-{}", chosen.strength.score))))
}

async fn change(tx: &mut Tx, changer: &Changer, chosen: &Chosen, end_others: bool) -> Outcome<()> {
    // Again, and now with the change: the proof may have grown old, or the session may have ended, while it was hashed. Of two
    // changes at once the second sees that the first took the proof from its session.
    second_factors::hold_person(tx, changer.user_id).await?;
    let is_fresh = freshness::may_change_factors(tx, &changer.session).await?;
    session_rows::keep_proof(tx, changer.session.root_id).await?;
    users::set_password(tx, changer.user_id, &chosen.phc, None).await?;
    if !is_fresh || !session_rows::lock_open(tx, changer.session.root_id).await? {
        return Err(Error::invalid_request("please sign in again first").into());
    }
    sessions::end_unproved(tx, changer.user_id, Actor::User).await?;
    let ended = if end_others {
        sessions::end_others(tx, changer.user_id, changer.session.root_id, Offline::Ends, Actor::User).await?
    } else {
        0
    };
    let event = Event::done(Action::PasswordChanged, Actor::User, sessions::subject(&changer.session));
    audit::record(tx, event.detail(json!({ "sessions_ended": ended })));
    notices::tell(tx, changer.user_id, &Message::PasswordChanged).await.map_err(Failure::from)
}

fn show(app: &App, visit: &Visit, changer: &Changer, status: StatusCode, error: Option<&str>) -> HttpResponse {
    let context = views::ChangePassword {
        action: app.config.issuer.url("/account/password"),
        csrf: csrf::token(app, &changer.session),
        user: csrf::person(&changer.session),
        least: crate::authentication::password_rules::least(!changer.factors.has_another()),
        account: app.config.issuer.url("/account"),
        error: error.map(str::to_owned),
    };
    answer::page(app, visit, Page::new(PageName::ChangePassword).status(status), &context)
}
