//! The session behind a browser's cookie.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Visit;
use crate::{
    app::App,
    db::{
        Tx, session_locks,
        sessions::{self, LiveSession},
    },
    failure::Broken,
    http::render::answer,
    sessions::{DeviceCookie, SignedIn},
};

/// Who is at the other end, as far as their cookie tells.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub session: Option<LiveSession>,
    /// The session of a cookie that was ours and is outdated: a second tab, a form sent twice.
    pub outdated: Option<Outdated>,
    /// The session of the cookie is locked: it is neither live nor over, and another one is no way round it.
    pub locked: Option<Lock>,
}

/// What a cookie of before was for.
#[derive(Clone, Copy, Debug)]
pub struct Outdated {
    pub session_id: Uuid,
    /// The present generation of its secret.
    pub generation: i32,
    pub user_id: Option<Uuid>,
}

/// Since when, and why.
#[derive(Clone, Debug)]
pub struct Lock {
    pub session_id: Uuid,
    pub at: DateTime<Utc>,
    pub reason: Option<String>,
}

impl Browser {
    /// Looks the cookie up and notes activity.
    pub async fn find(app: &App, visit: &Visit, tx: &mut Tx) -> Result<Self, Broken> {
        let Some(cookie) = &visit.cookie else { return Ok(Self::default()) };
        if let Some(session) = sessions::find_live(tx, cookie.session_id).await?
            && let Some(session) = Self::recognise(app, visit, Some(session))
        {
            if !session.is_noted(tx.now) {
                sessions::touch(tx, session.root_id).await?;
            }
            return Ok(Self { session: Some(session), ..Self::default() });
        }
        // Any generation up to the present one was ours.
        let ours = session_locks::find_cookie_session(tx, cookie.session_id)
            .await?
            .filter(|session| app.cookies.was_genuine(cookie, session.secret_generation));
        let Some(session) = ours else { return Ok(Self::default()) };
        if let Some(at) = session.locked_at {
            let lock = Lock { session_id: cookie.session_id, at, reason: session.lock_reason };
            return Ok(Self { locked: Some(lock), ..Self::default() });
        }
        let (generation, user_id) = (session.secret_generation, session.user_id);
        let outdated = Outdated { session_id: cookie.session_id, generation, user_id };
        Ok(Self { outdated: Some(outdated), ..Self::default() })
    }

    /// The session, if the cookie is the genuine one of its present generation.
    pub fn recognise(app: &App, visit: &Visit, session: Option<LiveSession>) -> Option<LiveSession> {
        let cookie = visit.cookie.as_ref()?;
        session.filter(|session| {
            session.id == cookie.session_id && app.cookies.is_genuine(cookie, session.secret_generation)
        })
    }

    /// `Err`: the page that says that the session is locked. Whatever would begin another session, or show a sign-in, asks
    /// first: signing in again would get round the lock.
    pub fn refuse_locked(&self, app: &App, visit: &Visit) -> Result<(), HttpResponse> {
        match &self.locked {
            Some(lock) => Err(answer::locked(app, visit, lock, None)),
            None => Ok(()),
        }
    }

    /// The session that an outdated cookie names.
    pub fn outdated_id(&self) -> Option<Uuid> {
        self.outdated.map(|outdated| outdated.session_id)
    }

    /// The session of somebody who is signed in.
    pub fn signed_in(&self) -> Option<(&LiveSession, Uuid)> {
        self.session.as_ref().and_then(|session| Some((session, session.user_id?)))
    }
}

/// The cookie of a session's generation.
pub fn session_cookie(app: &App, session_id: Uuid, generation: i32) -> Cookie<'static> {
    cookie(app, app.cookies.value(session_id, generation)).finish()
}

/// Gives the browser the cookie of a session's generation with this answer.
pub fn give_cookie(response: &mut HttpResponse, app: &App, session_id: Uuid, generation: i32) {
    if let Err(error) = response.add_cookie(&session_cookie(app, session_id, generation)) {
        tracing::error!(%error, "session cookie");
    }
}

/// Gives the browser the cookies of a sign-in with this answer.
pub fn give_cookies(response: &mut HttpResponse, app: &App, signed_in: &SignedIn) {
    give_cookie(response, app, signed_in.session_id, signed_in.generation);
    if let Some(device) = &signed_in.device {
        give_device_cookie(response, app, device);
    }
}

/// Gives the browser the cookie by which it is known from now on.
pub fn give_device_cookie(response: &mut HttpResponse, app: &App, device: &DeviceCookie) {
    let kept = actix_web::cookie::time::Duration::days(DeviceCookie::DAYS);
    let cookie = named(app, app.cookies.device_name(), device.value().to_owned()).max_age(kept).finish();
    if let Err(error) = response.add_cookie(&cookie) {
        tracing::error!(%error, "device cookie");
    }
}

/// The cookie that makes a browser forget.
pub fn expired_cookie(app: &App) -> Cookie<'static> {
    cookie(app, String::new()).max_age(actix_web::cookie::time::Duration::ZERO).finish()
}

/// `Lax`: sent with the redirect that brings a person here, not with a foreign form.
fn cookie(app: &App, value: String) -> actix_web::cookie::CookieBuilder<'static> {
    named(app, app.cookies.name(), value)
}

fn named(app: &App, name: &str, value: String) -> actix_web::cookie::CookieBuilder<'static> {
    Cookie::build(name.to_owned(), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.cookies.is_secure())
}
