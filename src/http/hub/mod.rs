//! The Identity Hub: one file a page, and the admin API beside it, for whoever watches and acts.
//!
//! Nothing of a page is shown, and nothing on it done, without a live privileged session that was proved for its scope: the
//! hub asks for that at the authorization endpoint, as a client of this server ([`HUB_CLIENT`]) whose codes nobody can
//! redeem. [`PAGES`] is the list; navigation and the way in derive from it.

pub mod api;
pub mod callback;
pub mod elevations;

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use uuid::Uuid;

use super::{
    access,
    extract::{Browser, Visit},
    render::{self, PageName, answer, views},
};
use crate::{
    app::App,
    authentication::Demand,
    config::builtin::HUB_CLIENT,
    db::{Outcome, Tx, privileged_sessions, sessions::LiveSession},
    failure::Failure,
    jose::{base64url, random_bytes, sha256},
    oauth::Scope,
};

/// A page of the hub.
#[derive(Debug)]
pub struct Page {
    /// Its name in the address.
    pub name: &'static str,
    pub title: &'static str,
    /// The privileged scope that opens it.
    pub scope: &'static str,
}

/// All of them; the first is where `/hub` leads.
pub static PAGES: &[&Page] = &[&elevations::PAGE];

impl Page {
    fn address(&self, app: &App) -> String {
        app.config.issuer.url(&format!("/hub/{}", self.name))
    }
}

/// Somebody who may use a page now.
pub struct Admitted {
    /// The user session of the browser.
    pub session: LiveSession,
    pub user_id: Uuid,
    /// The privileged session in which they proved who they are for this page.
    pub privileged: LiveSession,
}

/// Who is at the door of a page, and what they lack.
pub enum Door {
    Open(Box<Admitted>),
    /// They have to prove who they are; these scopes they have proved themselves for already.
    Prove(Vec<String>),
    /// They may not, for this reason.
    Closed(String),
    /// Their session is locked.
    Locked(HttpResponse),
}

/// Looks who is there. What the scope asks of people, places and times is asked at every request, not only at the proof.
pub async fn door(app: &App, visit: &Visit, tx: &mut Tx, page: &Page) -> Outcome<Door> {
    let browser = Browser::find(app, visit, tx).await?;
    if let Err(locked) = browser.refuse_locked(app, visit) {
        return Ok(Door::Locked(locked));
    }
    let Some((session, user_id)) = browser.signed_in() else { return Ok(Door::Prove(Vec::new())) };
    let found = privileged_sessions::find_privilege(tx, HUB_CLIENT, user_id, session.root_id).await?;
    let Some(step_up) = &found.step_up else { return Ok(Door::Prove(Vec::new())) };
    if !step_up.scope.iter().any(|scope| scope == page.scope) {
        return Ok(Door::Prove(step_up.scope.clone()));
    }
    let demand = Demand::of(&Scope::parse(page.scope)?, &app.config.scopes);
    let Some(demand) = demand else { return Ok(Door::Prove(Vec::new())) };
    if let Err(refusal) = access::judge(visit, &found.who, &demand) {
        access::note(app, tx, Some(session), HUB_CLIENT, Some(&demand), &refusal).await?;
        return Ok(Door::Closed(refusal.sentence()));
    }
    let Some(privileged) = crate::db::sessions::find_live(tx, step_up.session_id).await? else {
        return Ok(Door::Prove(Vec::new()));
    };
    // Work in the hub is activity of the privileged session.
    crate::db::sessions::touch(tx, privileged.id).await?;
    let session = session.clone();
    Ok(Door::Open(Box::new(Admitted { session, user_id, privileged })))
}

/// Lets somebody in to a page, or says what they have to do. `proved`: they have just come from there, so sending them
/// again would be a circle.
pub async fn admit(app: &App, visit: &Visit, page: &Page, proved: bool) -> Result<Admitted, HttpResponse> {
    let door = app
        .db
        .single(visit.now, &visit.trace, async |tx| door(app, visit, tx, page).await)
        .await
        .map_err(|failure: Failure| answer::failure(app, visit, &failure))?;
    match door {
        Door::Open(admitted) => Ok(*admitted),
        Door::Prove(held) if !proved => Err(answer::see_other(&request(app, page, &held))),
        Door::Prove(_) => Err(closed(app, visit, page, "Your privileged session is not there any more.")),
        Door::Closed(why) => Err(closed(app, visit, page, &why)),
        Door::Locked(response) => Err(response),
    }
}

/// A request of our own: as the hub, for this page's scope, and those of the pages that were proved for already.
fn request(app: &App, page: &Page, held: &[String]) -> String {
    let mut scope = vec![page.scope];
    scope.extend(held.iter().map(String::as_str).filter(|held| *held != page.scope));
    // The verifier is thrown away: with the client's secret the second thing that nobody has to redeem the code.
    let challenge = base64url(&sha256(&[base64url(&random_bytes::<32>()).as_bytes()]));
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", HUB_CLIENT)
        .append_pair("redirect_uri", &app.config.issuer.url("/hub/callback"))
        .append_pair("scope", &scope.join(" "))
        .append_pair("state", page.name)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    format!("{}?{query}", app.config.issuer.url("/oauth/authorize"))
}

/// The page is not for this browser now; how it can be.
pub fn closed(app: &App, visit: &Visit, page: &Page, why: &str) -> HttpResponse {
    let context = views::HubClosed { title: page.title, why: why.to_owned(), again: page.address(app) };
    let shown = render::Page::new(PageName::HubClosed).status(StatusCode::FORBIDDEN);
    answer::page(app, visit, shown, &context)
}

/// The way from page to page.
pub fn navigation(app: &App, here: &Page) -> Vec<views::HubLink> {
    let link =
        |page: &&Page| views::HubLink { title: page.title, href: page.address(app), current: page.name == here.name };
    PAGES.iter().map(link).collect()
}

/// `/hub`: the first page.
pub async fn get(app: Data<App>) -> HttpResponse {
    answer::see_other(&app.config.issuer.url(&format!("/hub/{}", PAGES.first().map_or("", |page| page.name))))
}
