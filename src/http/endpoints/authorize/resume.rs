//! A stored request goes on: after a page, after a cross-site POST, or brought by its `request_uri`.

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use uuid::Uuid;

use super::{find, proceed};
use crate::{
    app::App,
    authorize::{self, AuthorizationRequest, Owner},
    db::{Outcome, Tx, authorization_codes, authorization_requests, sessions::LiveSession},
    failure::Failure,
    http::{
        crowded::admit_stranger,
        extract::{Visit, give_cookie},
        locked::locked,
        pending::{Brought, Known, answer_misunderstood, find_stored, gone, understand},
        render::{answer, views},
    },
    oauth::{Error, ErrorCode, Parameters},
    sessions,
};

/// By our own link.
pub async fn resume(app: Data<App>, visit: Visit, id: Path<String>) -> HttpResponse {
    let Ok(id) = id.parse() else { return gone(&app, &visit) };
    match resumed(&app, &visit, id, Door::Link).await {
        Ok(Some(response)) => response,
        Ok(None) => gone(&app, &visit),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

/// A request that was pushed before (RFC 9126 §4). Whatever else is sent beside its `request_uri` does not count.
pub async fn pushed(
    app: &App,
    visit: &Visit,
    sent: &Parameters,
    client_id: &str,
    request_uri: &str,
    keep: bool,
) -> HttpResponse {
    if keep {
        // It is stored already; a GET of our own brings the cookie.
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client_id)
            .append_pair("request_uri", request_uri)
            .finish();
        return answer::see_other(&format!("{}?{query}", app.config.issuer.url("/oauth/authorize")));
    }
    let answered = match app.mint.request_uris.verify(request_uri) {
        Some(id) => resumed(app, visit, id, Door::RequestUri { client_id }).await,
        None => Ok(None),
    };
    match answered {
        Ok(Some(response)) => response,
        Ok(None) => match find(app, visit, client_id).await {
            Ok(known) => {
                let problem = "the request_uri has expired, was used, or is not for this client or browser";
                let error = Error::new(ErrorCode::InvalidRequestUri, problem);
                let why = authorize::refuse(sent, &known.client, app.config.issuer.as_str(), error);
                answer_misunderstood(app, visit, &known.client, why)
            }
            Err(failure) => answer::failure(app, visit, &failure),
        },
        Err(failure) => answer::failure(app, visit, &failure),
    }
}

/// By what a browser comes back to a stored request.
enum Door<'a> {
    /// Our own link.
    Link,
    /// The `request_uri` that this client was given.
    RequestUri { client_id: &'a str },
}

impl Door<'_> {
    fn brings(&self) -> Brought<'static> {
        match self {
            Self::Link => Brought::Address,
            Self::RequestUri { .. } => Brought::Nothing,
        }
    }

    fn opens(&self, stored: &authorization_requests::AuthorizationRequest) -> bool {
        match self {
            // A pushed request that no browser has yet is opened only by what nobody can guess.
            Self::Link => stored.pushed_at.is_none() || stored.session_id.is_some(),
            // RFC 9126 §7.1, RFC 9101 §10.4: only for the client that pushed it.
            Self::RequestUri { client_id } => stored.pushed_at.is_some() && stored.client_id == *client_id,
        }
    }
}

/// `None`: there is no such request for this browser.
async fn resumed(app: &App, visit: &Visit, id: Uuid, door: Door<'_>) -> Outcome<Option<HttpResponse>> {
    let brought = door.brings();
    let find = async |tx: &mut Tx| find_stored(app, visit, tx, id, brought).await;
    let found = app.db.single(visit.now, &visit.trace, find).await?;
    let found = found.filter(|(_, stored, _)| door.opens(stored));
    let Some((browser, mut stored, owner)) = found else { return Ok(None) };
    if let Some(locked) = locked(app, visit, &browser, &stored).await? {
        return Ok(Some(locked));
    }
    let mut begun = None;
    match owner {
        Owner::This | Owner::Successor => {}
        // RFC 9126 §7.3: it is used by one browser.
        Owner::AnotherVisit | Owner::Another => return Ok(None),
        Owner::Nobody => {
            let claim = async |tx: &mut Tx, holder| {
                let claimed = authorization_requests::claim(tx, id, holder, tx.now + authorize::PATIENCE).await?;
                Ok::<_, Failure>(claimed.then_some(holder))
            };
            let claimed = if let Some(session) = &browser.session {
                app.db.single(visit.now, &visit.trace, async |tx| claim(tx, session.root_id).await).await?
            } else {
                app.db
                    .work(visit.now, &visit.trace, async |tx| {
                        admit_stranger(app, tx, 0).await??;
                        let session = sessions::start_visitor(tx, &app.config.sessions).await?;
                        let claimed = claim(tx, session.id).await?;
                        Ok::<_, Failure>(claimed.map(|_| session))
                    })
                    .await?
                    .map(|session| begun.insert(session).id)
            };
            let Some(holder) = claimed else { return Ok(None) };
            (stored.session_id, stored.created_at) = (Some(holder), visit.now);
        }
    }
    let session_id = browser.session.as_ref().map(|session| session.id);
    let situation = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            authorization_requests::find_situation(tx, &stored.client_id, session_id).await.map_err(Failure::from)
        })
        .await?;
    let mut known = Known::of(app, visit, &stored.client_id, situation)?;
    let begun_id = begun.as_ref().map(|session: &LiveSession| session.id);
    // The browser will have its cookie with this answer.
    known.session = begun.or(known.session);
    let parameters = Parameters::parse(stored.parameters.as_bytes())?;
    let request = match understand(app, visit, &parameters, &known.client) {
        Ok(request) => request,
        Err(response) => return Ok(Some(response)),
    };
    let mut response = match (stored.completed_at, stored.code_id) {
        (Some(_), Some(code_id)) => {
            // Only for the session that it was issued in, by its present cookie.
            let holds = known.session.as_ref().is_some_and(|session| Some(session.root_id) == stored.session_id);
            same_again(app, visit, &known, &request, code_id, holds).await?
        }
        _ => proceed(app, visit, &known, &request, &parameters, Some(&stored)).await,
    };
    if let Some(session_id) = begun_id {
        give_cookie(&mut response, app, session_id, 0);
    }
    Ok(Some(response))
}

/// The request was answered: a form sent twice, the back button. The same code again while it is unused; a used one is
/// never sent twice, for its second use would end the family.
async fn same_again(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    code_id: Uuid,
    holds: bool,
) -> Outcome<HttpResponse> {
    let unused = holds
        && app
            .db
            .single(visit.now, &visit.trace, async |tx| {
                authorization_codes::is_unused(tx, code_id).await.map_err(Failure::from)
            })
            .await?;
    if unused {
        let code = app.mint.codes.code(code_id).into_text();
        let response = request.respond(app.config.issuer.as_str(), vec![("code", code)]);
        return Ok(answer::respond(app, visit, &known.client, &response));
    }
    let client = answer::client_view(&known.client, None);
    let name = client.name;
    let message = format!("This sign-in to {name} is complete. You can go back to it, or close this page.");
    let way = client.uri.map(|address| views::Way { label: format!("Go to {name}"), address });
    Ok(answer::error_page(app, visit, StatusCode::OK, "You are signed in", &message, None, way))
}
