//! A sign-out that does not come with the browser's session: from a client's server, or from a browser that has lost its
//! cookie.
//!
//! Invariant: an ID token travels in addresses, so by itself it ends no more than what its own client has in its session. A
//! client that proves that it is the client ends the session.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

use super::{PATH, asked::Asked, onward};
use crate::{
    app::App,
    db::{Outcome, Tx, clients as client_rows, sessions as session_rows},
    failure::Failure,
    http::{
        client_call::{audiences, authenticator, credentials, named},
        extract::Visit,
        refusals,
        render::json,
        signing_out::{self, Ended},
    },
    oauth::{Error, Parameters},
    sessions,
};

/// The parameters by which a client authenticates.
const SECRETS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// Whether the request brings credentials of a client, and not only its name.
pub fn is_authenticated(visit: &Visit, parameters: &Parameters) -> bool {
    has_basic(visit) || SECRETS.into_iter().any(|name| parameters.get(name).is_some())
}

/// Whether it brings them in the header. In a GET they count where no page is asked for: a browser sends what a proxy before
/// the server, or an earlier visit to an endpoint, asked it for.
pub fn has_basic(visit: &Visit) -> bool {
    let is_basic = |header: &str| header.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "));
    visit.authorization.as_deref().is_some_and(is_basic)
}

/// OAuth 2.1 §2.4.1: credentials are never in an address. Whoever puts them there is told, and not answered as if they had
/// brought none.
pub fn refuse_secrets_in_address(parameters: &Parameters) -> Result<(), Error> {
    match SECRETS.into_iter().find(|name| parameters.all(name).next().is_some()) {
        Some(name) => Err(Error::invalid_request(format!(
            "{name} does not count in an address: send the credentials of the client in a POST, or with HTTP Basic"
        ))),
        None => Ok(()),
    }
}

/// A client that authenticates: it is answered as at the token endpoint.
pub async fn by_client(app: &App, visit: &Visit, parameters: &Parameters) -> HttpResponse {
    match authenticated(app, visit, parameters).await {
        Ok(response) => response,
        Err(failure) => json::failure(visit, named(visit, parameters).as_deref(), &failure),
    }
}

async fn authenticated(app: &App, visit: &Visit, parameters: &Parameters) -> Outcome<HttpResponse> {
    let credentials = credentials(app, visit, parameters).await?;
    let (asked, row) = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let row = client_rows::find(tx, &credentials.client_id).await?;
            Ok::<_, Failure>((Asked::read(app, tx, parameters).await, row))
        })
        .await?;
    let audiences = audiences(app, PATH);
    let audiences = audiences.each_ref().map(String::as_str);
    let client = authenticator(app, visit, &audiences).authenticate(&credentials, row).await?;
    // What the request says is nobody's business before the client is known.
    let asked = asked?;
    if asked.sid.is_none() {
        return Err(Error::invalid_request("id_token_hint is missing: it says which session to end").into());
    }
    if asked.client.as_ref().is_none_or(|of_hint| of_hint.id != client.id) {
        return Err(Error::invalid_request("id_token_hint is not of the client that authenticates").into());
    }
    // A public client shows nothing but its name.
    let has_proved = !client.metadata.is_public();
    let ended = end(app, visit, &asked, has_proved).await?;
    if visit.accepts.pages || asked.redirect.is_some() {
        return Ok(signing_out::ended_elsewhere(app, visit, onward(&asked, parameters), ended));
    }
    let description = if has_proved { ended.detail() } else { ended.cause() };
    Ok(json::private(StatusCode::OK, &json!({ "ended": ended.word(), "description": description })))
}

/// Whoever has the hint, and no cookie of that session.
pub async fn by_hint(app: &App, visit: &Visit, asked: &Asked, parameters: &Parameters) -> Outcome<HttpResponse> {
    let ended = end(app, visit, asked, false).await?;
    let onward = onward(asked, parameters);
    if visit.accepts.only_json() && (onward.uri.is_none() || onward.asks) {
        return Ok(json::private(StatusCode::OK, &json!({ "ended": ended.word(), "description": ended.cause() })));
    }
    Ok(signing_out::ended_elsewhere(app, visit, onward, ended))
}

/// Ends what the request may end, and writes to the log what that was.
async fn end(app: &App, visit: &Visit, asked: &Asked, has_proved: bool) -> Outcome<Ended> {
    let ended = match (&asked.client, asked.sid) {
        (_, None) => Ended::NotNamed,
        (Some(client), Some(_)) => {
            app.db.work(visit.now, &visit.trace, async |tx| end_hinted(tx, asked, &client.id, has_proved).await).await?
        }
        (None, Some(_)) => Ended::NotLive,
    };
    let client = asked.client.as_ref().map(|client| client.id.as_str());
    if matches!(ended, Ended::Session | Ended::Grants) || refusals::is_admitted(visit, client.is_some()) {
        tracing::info!(
            request_id = %visit.trace.request_id,
            client,
            ended = ended.word(),
            cause = ended.detail(),
            "sign-out without the browser's session"
        );
    }
    Ok(ended)
}

async fn end_hinted(tx: &mut Tx, asked: &Asked, client_id: &str, has_proved: bool) -> Outcome<Ended> {
    let Some(hinted) = asked.hinted else { return Ok(Ended::NotLive) };
    let found = session_rows::find_live(tx, hinted).await?;
    // Offline access is nobody's sign-out.
    let Some(session) = found.filter(|session| session.kind == "user" || session.kind == "visitor") else {
        return Ok(Ended::NotLive);
    };
    Ok(if has_proved {
        if sessions::end_by_client(tx, &session, client_id).await? { Ended::Session } else { Ended::NotLive }
    } else if sessions::end_client(tx, &session, client_id).await? {
        Ended::Grants
    } else {
        Ended::NothingLeft
    })
}
