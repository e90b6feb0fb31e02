//! CSRF tokens of forms that belong to a session rather than to a pending request, and who the forms speak to.

use uuid::Uuid;

use crate::{
    app::App,
    db::sessions::LiveSession,
    http::render::views,
    jose::{base64url, from_base64url},
    oauth::{Error, Parameters},
};

/// The token of a session's forms; another one after every change of its secret.
pub fn token(app: &App, session: &LiveSession) -> String {
    base64url(&app.csrf.mac(&[b"session", session.id.as_bytes(), &session.secret_generation.to_be_bytes()]))
}

/// Takes a form that was shown in this session, if only before its secret was last renewed: another tab may have proved again
/// who is there.
pub fn check(app: &App, session: &LiveSession, form: &Parameters) -> Result<(), Error> {
    if fits_lately(app, session.id, session.secret_generation, form) { Ok(()) } else { Err(out_of_date()) }
}

/// Something has changed since the form was shown (somebody else is signed in, cookies were switched off), or another site
/// sent it.
pub fn out_of_date() -> Error {
    Error::invalid_request("this page is out of date, or cookies are switched off").detail(OUT_OF_DATE)
}

/// The form was on a page of another site.
pub fn of_another_site() -> Error {
    Error::invalid_request("this form is not one of ours").detail("another_site")
}

/// The detail of such a refusal.
pub const OUT_OF_DATE: &str = "out_of_date";

/// Whether a form carries the first token of a session that has been succeeded meanwhile; in constant time.
pub fn fits_first(app: &App, session_id: Uuid, form: &Parameters) -> bool {
    fits_generation(app, session_id, 0, form)
}

/// Whether a form carries the token of this generation of a session's secret, or of the one before; in constant time. For
/// a form that was sent twice: the first has changed the secret.
pub fn fits_lately(app: &App, session_id: Uuid, generation: i32, form: &Parameters) -> bool {
    (0..=generation).rev().take(2).any(|generation| fits_generation(app, session_id, generation, form))
}

/// Whether a call of a page's script carries the session's token; in constant time.
pub fn token_fits(app: &App, session: &LiveSession, tag: &str) -> bool {
    verify(app, session.id, session.secret_generation, tag)
}

fn fits_generation(app: &App, session_id: Uuid, generation: i32, form: &Parameters) -> bool {
    form.get("csrf").is_some_and(|tag| verify(app, session_id, generation, tag))
}

fn verify(app: &App, session_id: Uuid, generation: i32, tag: &str) -> bool {
    from_base64url(tag)
        .is_some_and(|tag| app.csrf.verify(&[b"session", session_id.as_bytes(), &generation.to_be_bytes()], &tag))
}

/// Who is signed in.
pub fn person(session: &LiveSession) -> views::Person {
    let name = session.user_claims.as_ref().and_then(|claims| claims.get("name")).and_then(|name| name.as_str());
    views::Person { username: session.username.clone().unwrap_or_default(), name: name.map(str::to_owned) }
}
