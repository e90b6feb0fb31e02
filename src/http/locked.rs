//! An authorization request in a browser whose session is locked: no page of ours can answer it, so the page about the lock
//! carries the answer `access_denied` itself.
//!
//! Invariant: only the browser that holds the request is shown its answer.

use actix_web::HttpResponse;

use super::{
    extract::{Browser, Visit},
    pending::{Known, understand},
    render::answer,
};
use crate::{
    app::App,
    authorize::AuthorizationRequest,
    clients::Client,
    db::{Outcome, authorization_requests},
    failure::Failure,
    oauth::{Error, ErrorCode, Parameters},
};

/// As [`Browser::refuse_locked`], for a request that this browser brings.
pub fn refuse_locked(
    app: &App,
    visit: &Visit,
    browser: &Browser,
    client: &Client,
    request: &AuthorizationRequest,
) -> Result<(), HttpResponse> {
    let Some(lock) = &browser.locked else { return Ok(()) };
    let error = Error::new(ErrorCode::AccessDenied, "the person refused");
    let response = request.refuse(app.config.issuer.as_str(), &error);
    Err(match answer::leave(app, visit, client, &response) {
        Ok(leave) => answer::locked(app, visit, lock, Some(leave)),
        Err(broken) => answer::failure(app, visit, &broken.into()),
    })
}

/// The same for a stored request. `None`: nothing is locked.
pub async fn locked(
    app: &App,
    visit: &Visit,
    browser: &Browser,
    stored: &authorization_requests::AuthorizationRequest,
) -> Outcome<Option<HttpResponse>> {
    let Some(lock) = &browser.locked else { return Ok(None) };
    if Some(lock.session_id) != stored.session_id || stored.completed_at.is_some() {
        return Ok(browser.refuse_locked(app, visit).err());
    }
    let situation = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            authorization_requests::find_situation(tx, &stored.client_id, None).await.map_err(Failure::from)
        })
        .await?;
    let known = Known::of(app, visit, &stored.client_id, situation)?;
    let parameters = Parameters::parse(stored.parameters.as_bytes())?;
    Ok(match understand(app, visit, &parameters, &known.client) {
        Ok(request) => refuse_locked(app, visit, browser, &known.client, &request).err(),
        Err(response) => Some(response),
    })
}
