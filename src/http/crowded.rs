//! A browser for which nothing may be stored, because too many visits began at its address: it waits, or its person signs in
//! with a passkey.
//!
//! Not for programs: without a page to show, they get 429 with `Retry-After`. Invariant: the page costs no statement, and
//! leads nowhere but to the address that the browser opened.

use actix_web::{HttpResponse, http::StatusCode};

use super::{
    extract::Visit,
    render::{Page, PageName, answer, views},
};
use crate::{
    app::App,
    db::Tx,
    failure::Broken,
    oauth::{Error, Parameters},
};

/// The detail of the refusal.
const CROWDED: &str = "too_many_visits";
/// The longest address that the page keeps: its script sends it twice, in bodies of at most 64 KiB.
const LONGEST: usize = 40 << 10;

/// Counts a visit, or a request of so many octets, that is about to be stored for somebody who is not signed in. `Err`: there
/// have been too many.
pub async fn admit_stranger(app: &App, tx: &mut Tx, octets: usize) -> Result<Result<(), Error>, Broken> {
    let admitted = app.sources.count_stranger(tx, octets).await?.or_later("too many requests from your network");
    Ok(admitted.map(drop).map_err(|error| error.detail(CROWDED)))
}

/// The page that offers a passkey in place of a refusal by [`admit_stranger`]. `None`: it is another refusal, or no person
/// is there to use a passkey.
pub fn page(app: &App, visit: &Visit, error: &Error) -> Option<HttpResponse> {
    app.passkeys.as_ref().filter(|_| error.detail.as_deref() == Some(CROWDED))?;
    let here = visit.here.as_deref().filter(|here| here.len() <= LONGEST && !is_silent(here))?;
    let seconds = error.retry_after.map(u64::from).unwrap_or_default();
    let context = views::Crowded {
        again: here.to_owned(),
        retry_after: seconds,
        passkey: views::UsePasskey {
            options: app.config.issuer.url("/passkeys/stateless/options"),
            finish: app.config.issuer.url("/passkeys/stateless"),
            to: Some(app.stateless.mark(here)),
            ..views::UsePasskey::default()
        },
        code: error.code.as_str(),
        request_id: visit.trace.request_id.clone(),
    };
    let shown = Page::new(PageName::Crowded).status(StatusCode::TOO_MANY_REQUESTS).retry_after(Some(seconds));
    Some(answer::page(app, visit, shown, &context))
}

/// Whether the client asked for no page (`prompt=none`, OIDC Core §3.1.2.1).
fn is_silent(address: &str) -> bool {
    let query = address.split_once('?').and_then(|(_, query)| Parameters::parse(query.as_bytes()).ok());
    query.is_some_and(|parameters| parameters.get("prompt") == Some("none"))
}
