//! The authorization endpoint (OAuth 2.1 §3.1, OIDC Core §3.1.2).
//!
//! A request whose answer is clear is answered with two statements. Any other is stored, the browser goes to a page,
//! and every page returns to [`resume`].

mod elevated;
mod facts;
mod resume;

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use elevated::Elevated;
use facts::Facts;
pub use resume::resume;
use uuid::Uuid;

use crate::{
    app::App,
    authentication::Refusal,
    authorize::{self, Arrival, AuthorizationRequest, Decision, Endpoint, Issue, Standing},
    db::{
        Outcome, Tx, authorization_requests,
        sessions::{self as session_rows, LiveSession},
    },
    failure::{Broken, Failure},
    http::{
        access,
        crowded::admit_stranger,
        extract::{Browser, Form, Visit, give_cookie},
        locked,
        pending::{Known, address, answer_misunderstood, known_as, reader, told, understand},
        render::answer,
    },
    oauth::{ClaimsRequest, Error, ErrorCode, Parameters, Prompt},
    sessions,
    tokens::PlainToken,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    match Parameters::parse(request.query_string().as_bytes()) {
        Ok(parameters) => begin(&app, &visit, &parameters, false).await,
        Err(error) => answer::refusal(&app, &visit, &error),
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    // A browser comes back to it with GET, which means the same (OAuth 2.1 §3.1).
    let visit = visit.opened_as(&app, || format!("/oauth/authorize?{}", form.0.to_query()));
    // A cross-site POST comes without the Lax cookie: keep the request and let a GET of our own bring it.
    begin(&app, &visit, &form.0, visit.cookie.is_none()).await
}

async fn begin(app: &App, visit: &Visit, parameters: &Parameters, keep: bool) -> HttpResponse {
    let Some(client_id) = parameters.get("client_id") else {
        return answer::refusal(app, visit, &Error::invalid_request("client_id is missing, or sent more than once"));
    };
    let arrival = Arrival::of(parameters);
    if let Ok(Arrival::Pushed(request_uri)) = arrival {
        return resume::pushed(app, visit, parameters, client_id, request_uri, keep).await;
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
    Known::of(app, visit, client_id, situation)
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
    if matches!(arrival, Arrival::Reference(_)) && app.config.request_objects.by_reference {
        // Whoever has a browser makes us call somebody, so that is counted.
        app.db
            .work(visit.now, &visit.trace, async |tx| admit_stranger(app, tx, 0).await.map_err(Failure::from))
            .await
            .map_err(|failure| answer::failure(app, visit, &failure))?
            .map_err(|error| answer::refusal(app, visit, &error))?;
    }
    reader(app, visit, Endpoint::Authorization).read(&known.client, sent, arrival).await.map_err(misunderstood)
}

async fn proceed(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    stored: Option<&authorization_requests::AuthorizationRequest>,
) -> HttpResponse {
    let Facts { privilege, refusal, approval } = match Facts::load(app, visit, known, request, stored).await {
        Ok(found) => found,
        Err(failure) => return answer::failure(app, visit, &failure),
    };
    let standing = Standing {
        session: known.session.as_ref(),
        privilege: privilege.as_ref(),
        refusal,
        approval,
        is_own: known.client.is_own(),
        known_as: known_as(app, &known.client, known.session.as_ref()),
        consented: &known.consented,
        is_impersonable: known.client.is_impersonable(request.redirect_uri.as_str()),
        stored,
        now: visit.now,
    };
    let decision = authorize::decide(request, &standing);
    if known.session.is_none()
        && !matches!(decision, Decision::Refuse(_))
        && let Err(locked) = refuse_locked(app, visit, known, request).await
    {
        return locked;
    }
    let page = match decision {
        Decision::Issue(user_id) => return issue(app, visit, known, request, stored, Some(user_id)).await,
        Decision::Elevate(user_id, proof) => {
            return elevated::issue(
                app,
                visit,
                &Elevated { known, request, parameters, stored, user_id, proof, approval },
            )
            .await;
        }
        Decision::IssueToVisitor(scope) => {
            // A visitor has nothing to tell but that it is here.
            let request = AuthorizationRequest { scope, claims: ClaimsRequest::default(), ..request.clone() };
            return issue(app, visit, known, &request, stored, None).await;
        }
        Decision::Refuse(error) => {
            if let Err(failure) = note_activity(app, visit, known).await {
                return answer::failure(app, visit, &failure);
            }
            return refuse(app, visit, known, request, &error);
        }
        Decision::Forbid(refusal) if request.prompts.contains(Prompt::None) => {
            return forbid(app, visit, known, request, &refusal).await;
        }
        Decision::SignIn => "/login",
        Decision::Forbid(_) => "/access",
        Decision::Approval => "/elevation",
        Decision::StepUp => "/step-up",
        Decision::SelectAccount => "/select-account",
        Decision::Consent(_) => "/consent",
    };
    ask(app, visit, known, parameters, stored, page).await
}

/// Sends the browser to a page, with the request stored so that the page can return to it.
async fn ask(
    app: &App,
    visit: &Visit,
    known: &Known,
    parameters: &Parameters,
    stored: Option<&authorization_requests::AuthorizationRequest>,
    page: &str,
) -> HttpResponse {
    if let Some(stored) = stored {
        return answer::see_other(&app.config.issuer.url(&format!("{page}?request={}", stored.id)));
    }
    let session = known.session.as_ref();
    store(app, visit, known, parameters, Holder::Browser(session), |id| format!("{page}?request={id}")).await
}

/// A cookie that finds no live session may be that of a locked one: no other begins in its place.
async fn refuse_locked(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
) -> Result<(), HttpResponse> {
    if visit.cookie.is_none() {
        return Ok(());
    }
    let browser = app
        .db
        .single(visit.now, &visit.trace, async |tx| Browser::find(app, visit, tx).await.map_err(Failure::from))
        .await
        .map_err(|failure| answer::failure(app, visit, &failure))?;
    locked::refuse_locked(app, visit, &browser, &known.client, request)
}

/// In whose hands a stored request is.
enum Holder<'a> {
    /// Nobody's yet: no cookie was seen.
    Nobody,
    /// The browser's session; it begins now if there is none.
    Browser(Option<&'a LiveSession>),
}

impl Holder<'_> {
    /// Whether nobody is signed in there: a visitor's session is had for nothing.
    fn is_stranger(&self) -> bool {
        !matches!(self, Self::Browser(Some(LiveSession { user_id: Some(_), .. })))
    }
}

async fn store(
    app: &App,
    visit: &Visit,
    known: &Known,
    parameters: &Parameters,
    holder: Holder<'_>,
    then: impl FnOnce(Uuid) -> String,
) -> HttpResponse {
    let kept = authorize::kept(parameters);
    let stored = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let mut begun = None;
            if holder.is_stranger()
                && let Err(error) = admit_stranger(app, tx, kept.len()).await?
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
            let expires_at = tx.now + authorize::PATIENCE;
            let id = authorization_requests::insert(tx, holder, &known.client.id, &kept, expires_at).await?;
            Ok::<_, Failure>(Ok((id, begun)))
        })
        .await;
    match stored {
        Ok(Err(error)) => answer::refusal(app, visit, &error),
        Ok(Ok((id, begun))) => {
            let mut response = answer::see_other(&app.config.issuer.url(&then(id)));
            if let Some(session_id) = begun {
                give_cookie(&mut response, app, session_id, 0);
            }
            response
        }
        Err(failure) => answer::failure(app, visit, &failure),
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
            privileged: None,
        };
        authorize::issue(tx, &app.mint.codes, &app.config.tokens, &what).await.map_err(Failure::from)
    };
    let issued = match &known.session {
        Some(session) => {
            let code = app.db.change(visit.now, &visit.trace, async |tx| issue(tx, session).await).await;
            code.map(|code| (code, None))
        }
        // A visitor's first request: the session begins with its code.
        None => {
            app.db
                .work(visit.now, &visit.trace, async |tx| {
                    admit_stranger(app, tx, 0).await??;
                    let session = sessions::start_visitor(tx, &app.config.sessions).await?;
                    Ok((issue(tx, &session).await?, Some(session.id)))
                })
                .await
        }
    };
    match issued {
        Ok((code, begun)) => {
            let mut response = answer_with(app, visit, known, request, stored, code);
            if let Some(session_id) = begun {
                give_cookie(&mut response, app, session_id, 0);
            }
            response
        }
        Err(failure) => answer::failure(app, visit, &failure),
    }
}

fn answer_with(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    stored: Option<&authorization_requests::AuthorizationRequest>,
    code: Option<PlainToken>,
) -> HttpResponse {
    match (code, stored) {
        (Some(code), _) => {
            let response = request.respond(app.config.issuer.as_str(), vec![("code", code.into_text())]);
            answer::respond(app, visit, &known.client, &response)
        }
        // Sent twice at once, and the other was faster: come back for the same code.
        (None, Some(stored)) => answer::see_other(&address(app, stored.id)),
        (None, None) => answer::failure(app, visit, &Broken::new("no code was issued").into()),
    }
}

fn refuse(app: &App, visit: &Visit, known: &Known, request: &AuthorizationRequest, error: &Error) -> HttpResponse {
    told(visit, &known.client, error);
    let response = request.refuse(app.config.issuer.as_str(), error);
    answer::respond(app, visit, &known.client, &response)
}

/// Whoever shows their cookie is there, also where the answer is no. (What is issued or stored notes it by itself.)
async fn note_activity(app: &App, visit: &Visit, known: &Known) -> Outcome<()> {
    match &known.session {
        Some(session) if !session.is_noted(visit.now) => {
            let touch = async |tx: &mut Tx| session_rows::touch(tx, session.root_id).await.map_err(Failure::from);
            app.db.single(visit.now, &visit.trace, touch).await
        }
        _ => Ok(()),
    }
}

/// Refuses without a page what is not for this person, here and now.
async fn forbid(
    app: &App,
    visit: &Visit,
    known: &Known,
    request: &AuthorizationRequest,
    refusal: &Refusal,
) -> HttpResponse {
    let noted = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let session = known.session.as_ref();
            access::note(app, tx, session, &known.client.id, request.demand.as_ref(), refusal)
                .await
                .map_err(Failure::from)
        })
        .await;
    let error = Error::new(ErrorCode::AccessDenied, "the scope is not for this person, here and now");
    match noted {
        Ok(()) => refuse(app, visit, known, request, &error),
        Err(failure) => answer::failure(app, visit, &failure),
    }
}
