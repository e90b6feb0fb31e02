//! The authorization endpoint (OAuth 2.1 §3.1, OIDC Core §3.1.2).
//!
//! A request whose answer is clear is answered with two statements. Any other is stored, the browser goes to a page,
//! and every page returns to [`resume`].

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    app::App,
    authorize::{self, Arrival, AuthorizationRequest, Decision, Endpoint, Issue, Owner, Standing},
    db::{Outcome, Tx, authorization_codes, authorization_requests, sessions::LiveSession},
    failure::{Broken, Failure},
    http::{
        extract::{Browser, Form, Visit, session_cookie},
        pending::{Known, answer_misunderstood, gone, holder, known_as, reader, told, understand},
        render::answer,
    },
    oauth::{ClaimsRequest, Error, ErrorCode, Parameters},
    risk::Gate,
    sessions,
};

/// How long a person may take.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    match Parameters::parse(request.query_string().as_bytes()) {
        Ok(parameters) => begin(&app, &visit, &parameters, false).await,
        Err(error) => answer::refusal(&app, &visit, &error),
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    // A cross-site POST comes without the Lax cookie: keep the request and let a GET of our own bring it.
    begin(&app, &visit, &form.0, visit.cookie.is_none()).await
}

async fn begin(app: &App, visit: &Visit, parameters: &Parameters, keep: bool) -> HttpResponse {
    let Some(client_id) = parameters.get("client_id") else {
        return answer::refusal(app, visit, &Error::invalid_request("client_id is missing, or sent more than once"));
    };
    let arrival = Arrival::of(parameters);
    if let Ok(Arrival::Pushed(request_uri)) = arrival {
        return pushed(app, visit, parameters, client_id, request_uri, keep).await;
    }
    let known = match find(app, visit, client_id).await {
        Ok(known) => known,
        Err(failure) => return answer::failure(app, visit, &failure),
    };
    let parameters = match read(app, visit, &known, parameters, arrival).await {
        Ok(parameters) => parameters,
        Err(response) => return response,
    };
    let request = match understand(app, visit, &parameters, &known.client) {
        Ok(request) => request,
        Err(response) => return response,
    };
    if keep {
        return store(app, visit, &known, &parameters, Holder::Nobody, |id| format!("/oauth/authorize/{id}")).await;
    }
    proceed(app, visit, &known, &request, &parameters, None).await
}

async fn find(app: &App, visit: &Visit, client_id: &str) -> Outcome<Known> {
    let session_id = visit.cookie.as_ref().map(|cookie| cookie.session_id);
    let situation = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            authorization_requests::find_situation(tx, client_id, session_id).await.map_err(Failure::from)
        })
        .await?;
    Known::of(app, visit, situation)
}

/// The parameters that count; `Err`: what to answer instead.
async fn read<'p>(
    app: &App,
    visit: &Visit,
    known: &Known,
    sent: &'p Parameters,
    arrival: Result<Arrival<'p>, Error>,
) -> Result<Cow<'p, Parameters>, HttpResponse> {
    let misunderstood = |why| answer_misunderstood(app, visit, &known.client, why);
    let refused = |error| misunderstood(authorize::refuse(sent, &known.client, app.config.issuer.as_str(), error));
    let arrival = arrival.map_err(refused)?;
    if matches!(arrival, Arrival::Reference(_)) && known.session.is_none() && app.config.request_objects.by_reference {
        // A stranger makes us call somebody, so that is counted.
        app.db
            .work(visit.now, &visit.trace, async |tx| admit_stranger(app, visit, tx).await.map_err(Failure::from))
            .await
            .map_err(|failure| answer::failure(app, visit, &failure))?
            .map_err(|error| answer::refusal(app, visit, &error))?;
    }
    reader(app, visit, Endpoint::Authorization).read(&known.client, sent, arrival).await.map_err(misunderstood)
}

/// A request that was pushed before (RFC 9126 §4). Whatever else is sent beside its `request_uri` does not count.
async fn pushed(
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

async fn proceed(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    stored: Option<&authorization_requests::AuthorizationRequest>,
) -> HttpResponse {
    let standing = Standing {
        session: known.session.as_ref(),
        known_as: known_as(app, &known.client, known.session.as_ref()),
        consented: &known.consented,
        is_impersonable: known.client.is_impersonable(request.redirect_uri.as_str()),
        stored,
        now: visit.now,
    };
    let page = match authorize::decide(request, &standing) {
        Decision::Issue(user_id) => return issue(app, visit, known, request, stored, Some(user_id)).await,
        Decision::IssueToVisitor(scope) => {
            // A visitor has nothing to tell but that it is here.
            let request = AuthorizationRequest { scope, claims: ClaimsRequest::default(), ..request.clone() };
            return issue(app, visit, known, &request, stored, None).await;
        }
        Decision::Refuse(error) => {
            told(visit, &error);
            let response = request.refuse(app.config.issuer.as_str(), &error);
            return answer::respond(app, visit, &known.client, &response);
        }
        Decision::SignIn => "/login",
        Decision::SelectAccount => "/select-account",
        Decision::Consent(_) => "/consent",
    };
    if let Some(stored) = stored {
        answer::see_other(&app.config.issuer.url(&format!("{page}?request={}", stored.id)))
    } else {
        let session = known.session.as_ref();
        store(app, visit, known, parameters, Holder::Browser(session), |id| format!("{page}?request={id}")).await
    }
}

/// In whose hands a stored request is.
enum Holder<'a> {
    /// Nobody's yet: no cookie was seen.
    Nobody,
    /// The browser's session; it begins now if there is none.
    Browser(Option<&'a LiveSession>),
}

async fn store(
    app: &App,
    visit: &Visit,
    known: &Known,
    parameters: &Parameters,
    holder: Holder<'_>,
    then: impl FnOnce(Uuid) -> String,
) -> HttpResponse {
    let stored = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let mut begun = None;
            if !matches!(holder, Holder::Browser(Some(_)))
                && let Err(error) = admit_stranger(app, visit, tx).await?
            {
                return Ok(Err(error));
            }
            let holder = match holder {
                Holder::Nobody => None,
                Holder::Browser(Some(session)) => Some(session.root_id),
                Holder::Browser(None) => {
                    begun = Some(sessions::start_visitor(tx, &app.config.sessions).await?.id);
                    begun
                }
            };
            let expires_at = tx.now + PATIENCE;
            let id =
                authorization_requests::insert(tx, holder, &known.client.id, &authorize::kept(parameters), expires_at)
                    .await?;
            Ok::<_, Failure>(Ok((id, begun)))
        })
        .await;
    match stored {
        Ok(Err(error)) => answer::refusal(app, visit, &error),
        Ok(Ok((id, begun))) => {
            let mut response = answer::see_other(&app.config.issuer.url(&then(id)));
            if let Some(session_id) = begun {
                add_cookie(&mut response, app, session_id, 0);
            }
            response
        }
        Err(failure) => answer::failure(app, visit, &failure),
    }
}

/// What strangers begin is stored, so there is a bound on it.
async fn admit_stranger(app: &App, visit: &Visit, tx: &mut Tx) -> Result<Result<(), Error>, Broken> {
    let source = visit.trace.source_hash.clone().unwrap_or_default();
    Ok(match app.sources.count_stranger(tx, &source).await? {
        Gate::Open(_) => Ok(()),
        Gate::Closed(seconds) => {
            let error = Error::new(ErrorCode::TemporarilyUnavailable, "too many requests from your network");
            Err(error.retry_after(seconds))
        }
    })
}

fn add_cookie(response: &mut HttpResponse, app: &App, session_id: Uuid, generation: i32) {
    if let Err(error) = response.add_cookie(&session_cookie(app, session_id, generation)) {
        tracing::error!(%error, "session cookie");
    }
}

async fn issue(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    stored: Option<&authorization_requests::AuthorizationRequest>,
    user_id: Option<Uuid>,
) -> HttpResponse {
    let issue = async |tx: &mut Tx, session: &LiveSession| {
        let what = Issue {
            request,
            request_id: stored.map(|stored| stored.id),
            client: &known.client,
            session,
            sid: known.sid,
            user_id,
        };
        authorize::issue(tx, &app.mint.codes, &app.config.tokens, &what).await.map_err(Failure::from)
    };
    let mut begun = None;
    let issued = match &known.session {
        Some(session) => app.db.single(visit.now, &visit.trace, async |tx| issue(tx, session).await).await,
        // A visitor's first request: the session begins with its code.
        None => {
            app.db
                .work(visit.now, &visit.trace, async |tx| {
                    admit_stranger(app, visit, tx).await??;
                    let session = sessions::start_visitor(tx, &app.config.sessions).await?;
                    begun = Some(session.id);
                    issue(tx, &session).await
                })
                .await
        }
    };
    match issued {
        Ok(Some(code)) => {
            let response = request.respond(app.config.issuer.as_str(), vec![("code", code.into_text())]);
            let mut response = answer::respond(app, visit, &known.client, &response);
            if let Some(session_id) = begun {
                add_cookie(&mut response, app, session_id, 0);
            }
            response
        }
        // Sent twice at once, and the other was faster: come back for the same code.
        Ok(None) => match stored {
            Some(stored) => answer::see_other(&app.config.issuer.url(&format!("/oauth/authorize/{}", stored.id))),
            None => answer::failure(app, visit, &Broken::new("no code was issued").into()),
        },
        Err(failure) => answer::failure(app, visit, &failure),
    }
}

/// A stored request goes on: after a page, or after a cross-site POST.
pub async fn resume(app: Data<App>, visit: Visit, id: Path<Uuid>) -> HttpResponse {
    match resumed(&app, &visit, *id, Door::Link).await {
        Ok(Some(response)) => response,
        Ok(None) => gone(&app, &visit),
        Err(failure) => answer::failure(&app, &visit, &failure),
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
    let (browser, stored, holder) = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            let stored = authorization_requests::find(tx, id).await?;
            let holder = match &stored {
                Some(stored) => holder(tx, &browser, stored).await?,
                None => None,
            };
            Ok::<_, Failure>((browser, stored, holder))
        })
        .await?;
    let Some(mut stored) = stored.filter(|stored| door.opens(stored)) else { return Ok(None) };
    let mut begun = None;
    match authorize::owner(&stored, browser.session.as_ref(), browser.outdated, holder.as_ref()) {
        Owner::This | Owner::Successor => {}
        // RFC 9126 §7.3: it is used by one browser.
        Owner::Another => return Ok(None),
        Owner::Nobody => {
            let claimed = app
                .db
                .work(visit.now, &visit.trace, async |tx| {
                    let holder = if let Some(session) = &browser.session {
                        session.root_id
                    } else {
                        let session = sessions::start_visitor(tx, &app.config.sessions).await?;
                        begun.insert(session).id
                    };
                    Ok::<_, Failure>(
                        authorization_requests::claim(tx, id, holder, tx.now + PATIENCE).await?.then_some(holder),
                    )
                })
                .await?;
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
    let mut known = Known::of(app, visit, situation)?;
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
        add_cookie(&mut response, app, session_id, 0);
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
    let name = known.client.display_name();
    let message = format!("This sign-in to {name} is complete. You can go back to it, or close this page.");
    let hint = known.client.metadata.client_uri.as_deref();
    Ok(answer::error_page(app, visit, StatusCode::OK, "You are signed in", &message, hint, None))
}
