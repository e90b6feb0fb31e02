//! The session behind a browser's cookie.

use actix_web::cookie::{Cookie, SameSite};
use chrono::TimeDelta;
use uuid::Uuid;

use super::Visit;
use crate::{
    app::App,
    db::{
        Tx,
        sessions::{self, LiveSession},
    },
    failure::Broken,
};

/// Who is at the other end, as far as their cookie tells.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub session: Option<LiveSession>,
    /// The session of a cookie that was ours and is outdated: a second tab, a form sent twice.
    pub outdated: Option<Uuid>,
}

impl Browser {
    /// Looks the cookie up and notes activity.
    pub async fn find(app: &App, visit: &Visit, tx: &mut Tx) -> Result<Self, Broken> {
        let Some(cookie) = &visit.cookie else { return Ok(Self::default()) };
        if let Some(session) = sessions::find_live(tx, cookie.session_id).await?
            && let Some(session) = Self::recognise(app, visit, Some(session))
        {
            if tx.now - session.last_seen_at > TimeDelta::minutes(1) {
                sessions::touch(tx, session.root_id).await?;
            }
            return Ok(Self { session: Some(session), outdated: None });
        }
        let generation = sessions::find_generation(tx, cookie.session_id).await?;
        // Any generation up to the present one was ours.
        let ours =
            generation.is_some_and(|newest| (0..=newest).rev().take(8).any(|n| app.cookies.is_genuine(cookie, n)));
        Ok(Self { session: None, outdated: ours.then_some(cookie.session_id) })
    }

    /// The session, if the cookie is the genuine one of its present generation.
    pub fn recognise(app: &App, visit: &Visit, session: Option<LiveSession>) -> Option<LiveSession> {
        let cookie = visit.cookie.as_ref()?;
        session.filter(|session| {
            session.id == cookie.session_id && app.cookies.is_genuine(cookie, session.secret_generation)
        })
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

/// The cookie that makes a browser forget.
pub fn expired_cookie(app: &App) -> Cookie<'static> {
    cookie(app, String::new()).max_age(actix_web::cookie::time::Duration::ZERO).finish()
}

/// `Lax`: sent with the redirect that brings a person here, not with a foreign form.
fn cookie(app: &App, value: String) -> actix_web::cookie::CookieBuilder<'static> {
    Cookie::build(app.cookies.name(), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.cookies.is_secure())
}
