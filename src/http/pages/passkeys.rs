//! One's own passkeys: another name for one, and withdrawing one. What is needed to do either has just been shown.

use actix_web::{
    HttpResponse,
    web::{Data, Path},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authentication::{
        ceremony,
        freshness::{self, Factors},
    },
    db::{Outcome, Tx, credentials, sessions::LiveSession},
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit},
        passkeys::enrol::label,
        render::answer,
        signing_in::Destination,
    },
    oauth::{Error, Parameters},
    sessions,
};

pub async fn post(app: Data<App>, visit: Visit, action: Path<String>, form: Form) -> HttpResponse {
    let done = app.db.work(visit.now, &visit.trace, async |tx| run(&app, &visit, tx, &action, &form.0).await).await;
    match done {
        Ok(next) => answer::see_other(&next),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

/// Does it and says where to go on.
async fn run(app: &App, visit: &Visit, tx: &mut Tx, action: &str, form: &Parameters) -> Outcome<String> {
    let browser = Browser::find(app, visit, tx).await?;
    let Some((session, user_id)) = browser.signed_in() else { return Ok(app.config.issuer.url("/login")) };
    csrf::check(app, session, form)?;
    if !freshness::may_change_factors(tx, session).await? {
        return Ok(Destination::Account.confirmation(app));
    }
    let id: Uuid =
        form.require("credential")?.parse().map_err(|_| Error::invalid_request("credential is not an id"))?;
    let done = match action {
        "rename" => rename(tx, session, user_id, id, form).await?,
        "remove" => {
            credentials::lock_person(tx, user_id).await?;
            // Again, and now with the change: another form may have removed the passkey that allowed this.
            if !freshness::may_change_factors(tx, session).await? {
                return Ok(Destination::Account.confirmation(app));
            }
            remove(tx, session, user_id, id).await?
        }
        _ => return Err(Error::invalid_request("there is no such action").into()),
    };
    Ok(app.config.issuer.url(&format!("/account?done={done}")))
}

async fn rename(
    tx: &mut Tx,
    session: &LiveSession,
    user_id: Uuid,
    id: Uuid,
    form: &Parameters,
) -> Outcome<&'static str> {
    let Some(label) = form.get("label").and_then(label) else {
        return Err(Error::invalid_request("a name has between 1 and 64 characters").into());
    };
    if !credentials::rename_passkey(tx, user_id, id, &label).await? {
        return Err(none());
    }
    audit::record(tx, event(session, Action::CredentialRenamed, id));
    Ok("passkey-renamed")
}

/// The caller holds the person.
async fn remove(tx: &mut Tx, session: &LiveSession, user_id: Uuid, id: Uuid) -> Outcome<&'static str> {
    let all = credentials::load_passkeys(tx, user_id).await?;
    let Some(passkey) = all.iter().find(|passkey| passkey.id == id) else { return Err(none()) };
    // A suspended one lets nobody in anyway; that it goes is a change like any other, and took what that takes.
    if passkey.suspended_at.is_none() {
        let factors = Factors::load(tx, user_id).await?;
        if !factors.can_spare_a_passkey() {
            return Ok("passkey-needed");
        }
        // It is what the suspended one can be withdrawn by.
        if factors.suspended && factors.passkeys == 1 {
            return Ok("suspended-first");
        }
    }
    if !ceremony::withdraw(tx, passkey, Actor::User, event(session, Action::CredentialRemoved, id)).await? {
        return Err(none());
    }
    Ok("passkey-removed")
}

fn event(session: &LiveSession, action: Action, id: Uuid) -> Event {
    Event::done(action, Actor::User, sessions::subject(session)).detail(json!({ "credential": id, "kind": "passkey" }))
}

/// Somebody else's passkey looks like none.
fn none() -> Failure {
    Error::invalid_request("there is no such passkey").into()
}
