//! Authorization requests between the endpoint and the pages: who asks, whose browser it is, what is pending.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use uuid::Uuid;

use super::{
    crowded::admit_stranger,
    csrf as session_csrf,
    extract::{Browser, Visit},
    locked::locked,
    refusals,
    render::{Page, PageName, answer, views},
};
use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authorize::{self, Asked, AuthorizationRequest, Endpoint, Misunderstood, Owner, Reader, csrf, csrf_fits},
    clients::Client,
    db::{
        Outcome, Tx,
        authorization_requests::{self, Mark, Situation},
        sessions::{self as session_rows, LiveSession},
    },
    failure::Failure,
    oauth::{Error, Parameters},
    sessions,
};

/// The client, and the browser's session if its cookie is genuine.
pub struct Known {
    pub client: Client,
    pub session: Option<LiveSession>,
    pub sid: Option<Uuid>,
    pub consented: Vec<String>,
}

impl Known {
    pub fn of(app: &App, visit: &Visit, client_id: &str, situation: Situation) -> Outcome<Self> {
        let row = situation.client.ok_or_else(|| {
            Error::invalid_request("there is no client of this client_id")
                .mend("correct the client_id, or add the client; one that is disabled is not found either")
                .sent("client_id", client_id)
        })?;
        let client = Client::from_row(row)?;
        let session = Browser::recognise(app, visit, situation.session);
        let (sid, consented) =
            if session.is_some() { (situation.sid, situation.consented) } else { (None, Vec::new()) };
        Ok(Self { client, session, sid, consented })
    }
}

/// Runs the checks; `Err`: what to answer instead.
pub fn understand(
    app: &App,
    visit: &Visit,
    parameters: &Parameters,
    client: &Client,
) -> Result<AuthorizationRequest, HttpResponse> {
    judge(app, parameters, client).map_err(|misunderstood| answer_misunderstood(app, visit, client, misunderstood))
}

/// Runs the checks.
pub fn judge(app: &App, parameters: &Parameters, client: &Client) -> Result<AuthorizationRequest, Misunderstood> {
    let own_jwks = app.mint.keys.own_jwks();
    authorize::understand(&Asked {
        parameters,
        client,
        scopes: &app.config.scopes,
        resources: &app.config.resources,
        own_jwks: &own_jwks,
        issuer: app.config.issuer.as_str(),
    })
}

/// Says why, where that may be said.
pub fn answer_misunderstood(app: &App, visit: &Visit, client: &Client, misunderstood: Misunderstood) -> HttpResponse {
    match misunderstood {
        Misunderstood::Untrusted(error) => answer::refusal_of(app, visit, Some(&client.id), &error),
        Misunderstood::Refused(response, error) => {
            told(visit, client, &error);
            answer::respond(app, visit, client, &response)
        }
        Misunderstood::Broken(failure) => answer::failure(app, visit, &failure),
    }
}

/// What it takes to read a request.
pub fn reader<'a>(app: &'a App, visit: &Visit, endpoint: Endpoint) -> Reader<'a> {
    Reader {
        endpoint,
        settings: &app.config.request_objects,
        issuer: app.config.issuer.as_str(),
        outbound: &app.outbound,
        jwks: &app.jwks,
        objects: &app.objects,
        now: visit.now,
    }
}

/// The `sub` under which the client knows whoever is there.
pub fn known_as(app: &App, client: &Client, session: Option<&LiveSession>) -> Option<String> {
    let session = session?;
    let who = app.mint.subjects.who(session.user_id, &session.kind, session.root_id)?;
    Some(app.mint.subjects.of(&client.metadata, who))
}

/// A relying party is told: counted and logged.
pub fn told(visit: &Visit, client: &Client, error: &Error) {
    crate::metrics::refused(error.code.as_str());
    refusals::log(visit, Some(&client.id), error);
}

/// The stored request has expired, or is another browser's.
pub fn gone(app: &App, visit: &Visit) -> HttpResponse {
    let message = "It has expired, or it was begun in another browser.";
    let hint = "Go back to the application and sign in from there.";
    answer::error_page(
        app,
        visit,
        StatusCode::BAD_REQUEST,
        "This sign-in cannot be continued",
        message,
        Some(hint),
        None,
    )
}

/// A pending request for a page: its client, what it asks for, and whose browser this is.
pub struct Pending {
    pub stored: authorization_requests::AuthorizationRequest,
    pub client: Client,
    pub request: AuthorizationRequest,
    pub browser: Browser,
}

/// Finds the pending request that a page is about. `Err`: what to show instead.
pub async fn pending(
    app: &App,
    visit: &Visit,
    id: Option<&str>,
    brought: Brought<'_>,
) -> Result<Pending, HttpResponse> {
    let Some(id) = id.and_then(|id| id.parse::<Uuid>().ok()) else { return Err(gone(app, visit)) };
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let Some((browser, stored, owner)) = find_stored(app, visit, tx, id, brought).await? else {
                return Ok(None);
            };
            let session_id = browser.session.as_ref().map(|session| session.id);
            let situation = authorization_requests::find_situation(tx, &stored.client_id, session_id).await?;
            Ok::<_, Failure>(Some((browser, stored, owner, situation)))
        })
        .await
        .map_err(|failure| answer::failure(app, visit, &failure))?;
    let Some((browser, stored, owner, situation)) = found else { return Err(gone(app, visit)) };
    match locked(app, visit, &browser, &stored).await {
        Ok(None) => {}
        Ok(Some(response)) => return Err(response),
        Err(failure) => return Err(answer::failure(app, visit, &failure)),
    }
    match owner {
        Owner::This | Owner::Successor => {}
        Owner::Nobody | Owner::AnotherVisit | Owner::Another => return Err(gone(app, visit)),
    }
    if stored.completed_at.is_some() {
        return Err(answer::see_other(&address(app, id)));
    }
    let known =
        Known::of(app, visit, &stored.client_id, situation).map_err(|failure| answer::failure(app, visit, &failure))?;
    let parameters =
        Parameters::parse(stored.parameters.as_bytes()).map_err(|error| answer::refusal(app, visit, &error))?;
    let request = understand(app, visit, &parameters, &known.client)?;
    Ok(Pending { stored, client: known.client, request, browser })
}

/// The pending request that a page is opened for, by the `request` of its address. `Err`: what to show instead.
pub async fn opened(app: &App, visit: &Visit, request: &HttpRequest) -> Result<Pending, HttpResponse> {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    pending(app, visit, parameters.get("request"), Brought::Address).await
}

/// The pending request that a form is sent for, by whoever is signed in and its page was shown to. `Err`: what to show
/// instead.
pub async fn sent(app: &App, visit: &Visit, form: &Parameters) -> Result<Pending, HttpResponse> {
    let tag = form.get("csrf");
    let pending = pending(app, visit, form.get("request"), Brought::Form(tag)).await?;
    let fits = |person| tag.is_some_and(|tag| csrf_fits(&app.csrf, pending.stored.id, person, tag));
    if fits(pending.person()) {
        return if pending.person().is_some() { Ok(pending) } else { Err(back(app, &pending)) };
    }
    // The session has ended while the page was open: whoever signs in now is asked anew.
    if pending.browser.outdated.is_some_and(|outdated| outdated.user_id.is_some() && fits(outdated.user_id)) {
        return Err(back(app, &pending));
    }
    Err(answer::refusal(app, visit, &session_csrf::out_of_date()))
}

/// The pending request that a form `cancel` is sent for. Whoever saw the page may leave, signed in or not. `Err`: what to
/// show instead.
pub async fn cancelled(app: &App, visit: &Visit, form: &Parameters) -> Result<Pending, HttpResponse> {
    let tag = form.get("csrf");
    let pending = pending(app, visit, form.get("request"), Brought::Form(tag)).await?;
    let before = pending.browser.outdated.and_then(|outdated| outdated.user_id);
    let fits = |person| tag.is_some_and(|tag| csrf_fits(&app.csrf, pending.stored.id, person, tag));
    if [None, pending.person(), before].into_iter().any(fits) {
        return Ok(pending);
    }
    Err(answer::refusal(app, visit, &session_csrf::out_of_date()))
}

impl Pending {
    /// The form by which the person leaves.
    pub fn cancel(&self, app: &App) -> views::Cancel {
        views::Cancel {
            action: app.config.issuer.url("/cancel"),
            csrf: self.csrf(app),
            request: self.stored.id.to_string(),
        }
    }

    fn person(&self) -> Option<Uuid> {
        self.browser.signed_in().map(|(_, user_id)| user_id)
    }

    /// The token of the forms that speak to whoever is signed in.
    pub fn csrf(&self, app: &App) -> String {
        csrf(&app.csrf, self.stored.id, self.person())
    }

    /// Answers the request with `access_denied` (RFC 6749 §4.1.2.1): the person does not go on. Does nothing where it has
    /// been answered already.
    pub async fn deny(&self, tx: &mut Tx) -> Outcome<()> {
        if !authorization_requests::mark(tx, self.stored.id, Mark::Denied).await? {
            return Ok(());
        }
        let subject = self.browser.session.as_ref().map(sessions::subject).unwrap_or_default();
        let subject = subject.with_client(&self.client.id);
        let actor = if self.person().is_some() { Actor::User } else { Actor::Visitor };
        let event = match &self.request.demand {
            Some(demand) => Event::refused(Action::PrivilegeRequested, actor, subject, "denied")
                .detail(serde_json::json!({ "scope": demand.scope })),
            None => Event::done(Action::AuthorizationCancelled, actor, subject),
        };
        audit::record(tx, event);
        Ok(())
    }

    /// A page about it, which may lead to the client and show its logo.
    pub fn page(&self, name: PageName) -> Page {
        Page::new(name).may_lead_elsewhere(true).may_show(self.client.metadata.logo_uri.as_deref())
    }
}

/// From a page back to the request that it is about.
pub fn back(app: &App, pending: &Pending) -> HttpResponse {
    answer::see_other(&address(app, pending.stored.id))
}

/// Where a stored request goes on.
pub fn address(app: &App, id: Uuid) -> String {
    app.config.issuer.url(&format!("/oauth/authorize/{id}"))
}

/// What a browser brings to a request of another visit.
#[derive(Clone, Copy)]
pub enum Brought<'a> {
    /// Nothing that counts.
    Nothing,
    /// Its address.
    Address,
    /// The token of a form of it.
    Form(Option<&'a str>),
}

/// Whose browser this is, the stored request of this id, and whose that is. One of another visit is taken up first, if what
/// is brought suffices.
pub async fn find_stored(
    app: &App,
    visit: &Visit,
    tx: &mut Tx,
    id: Uuid,
    brought: Brought<'_>,
) -> Outcome<Option<(Browser, authorization_requests::AuthorizationRequest, Owner)>> {
    let browser = Browser::find(app, visit, tx).await?;
    let Some(stored) = authorization_requests::find(tx, id).await? else { return Ok(None) };
    let own = browser.session.as_ref().map(|session| session.root_id);
    let holder = match stored.session_id {
        Some(held_by) if Some(held_by) != own => session_rows::find_live(tx, held_by).await?,
        _ => None,
    };
    let owner = authorize::owner(&stored, browser.session.as_ref(), browser.outdated_id(), holder.as_ref());
    if let (Owner::AnotherVisit, Some(session)) = (owner, &browser.session)
        && let Some(taken) = take_up(app, visit, tx, &stored, session.root_id, brought).await?
    {
        return Box::pin(find_stored(app, visit, tx, taken, Brought::Nothing)).await;
    }
    Ok(Some((browser, stored, owner)))
}

/// Goes on with a request of another visit: the browser's other tab began it, or somebody sent its address, which is as good as
/// sending what it asks for. Returns the id under which it goes on.
///
/// A form of our own is of this browser, whatever visit it was shown in: the request itself goes on. An address may come from
/// anywhere: what is asked goes on under another id, for whoever sent it has the tokens of the old one's forms. Not if it was
/// pushed: that was for one browser (RFC 9126 §7.3), and is in no address.
async fn take_up(
    app: &App,
    visit: &Visit,
    tx: &mut Tx,
    stored: &authorization_requests::AuthorizationRequest,
    session_id: Uuid,
    brought: Brought<'_>,
) -> Outcome<Option<Uuid>> {
    match (brought, stored.session_id) {
        (Brought::Form(Some(tag)), Some(holder)) => {
            let is_own = visit.origin.as_deref() == Some(app.config.issuer.origin());
            // Nobody is signed in there, so it was shown to nobody.
            if !is_own || !csrf_fits(&app.csrf, stored.id, None, tag) {
                return Ok(None);
            }
            authorization_requests::hand_over(tx, stored.id, holder, session_id).await?;
            Ok(Some(stored.id))
        }
        (Brought::Address, _) if stored.pushed_at.is_none() => {
            admit_stranger(app, tx, stored.parameters.len()).await??;
            let (client_id, expires_at) = (&stored.client_id, tx.now + authorize::PATIENCE);
            let copy = authorization_requests::insert(tx, Some(session_id), client_id, &stored.parameters, expires_at);
            Ok(Some(copy.await?))
        }
        _ => Ok(None),
    }
}
