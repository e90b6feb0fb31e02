//! Sessions for whoever watches: which there are, what happened in one, and its lock, unlock and end.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::StatusCode,
    web::{Data, Path},
};
use serde::Deserialize;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use super::{
    guard::Watcher,
    views::{Event, Refusal, Session, SessionWithTimeline, Sessions},
};
use crate::{
    app::App,
    audit::{self, Actor},
    config::builtin::HUB_SESSIONS,
    db::{
        Outcome, Tx, reports,
        session_lists::{self, Filter},
        sessions as rows, users,
    },
    failure::{Broken, Failure},
    http::{
        extract::{BadBody, TypedJson, Visit},
        render::json,
    },
    oauth::{Error, Parameters},
    sessions,
};

/// Why, for the audit trail; of a lock, for the person too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// 1 to 200 bytes without control characters.
    reason: String,
}

/// Why a change is not made.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it tells the description what the handlers of a change answer")]
enum ChangeRefusal {
    /// There is no reason, or it is not one.
    #[response(status = 400)]
    Malformed(Refusal),
    /// There is no live token.
    #[response(status = 401)]
    Unauthenticated(Refusal),
    /// The token does not do.
    #[response(status = 403)]
    Forbidden(Refusal),
    /// There is no session of this id or `sid`.
    #[response(status = 404)]
    NoSuchSession(Refusal),
    /// It is in that state already, or has ended.
    #[response(status = 409)]
    Unchanged(Refusal),
}

const USUAL: i64 = 100;
const MOST: i64 = 1000;

/// Sessions, newest first.
#[utoipa::path(
    get, path = "/hub/api/v1/sessions", tag = "sessions", operation_id = "listSessions",
    security(("bearer" = ["hub:sessions"])),
    params(
        ("kind" = Option<String>, Query, description = "Only of this kind: visitor, user, privileged, service, offline or device."),
        ("user" = Option<String>, Query, description = "Only of this person, by username or id."),
        ("client" = Option<String>, Query, description = "Only those that this client took part in."),
        ("live" = Option<bool>, Query, description = "true: only those that nothing has ended and that are not locked."),
        ("before" = Option<Uuid>, Query, description = "Only those that began before this one: the `next` of a page."),
        ("limit" = Option<i64>, Query, description = "At most so many: 1 to 1000, by default 100."),
    ),
    responses(
        (status = 200, body = Sessions), (status = 400, body = Refusal),
        (status = 401, body = Refusal), (status = 403, body = Refusal),
    ),
)]
pub async fn list(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let listed = async {
        Watcher::find(&app, &visit, HUB_SESSIONS).await?;
        let asked = Asked::read(&Parameters::parse(request.query_string().as_bytes())?)?;
        let _room = reports::room().await?;
        app.db
            .work(visit.now, &visit.trace, async |tx| {
                reports::begin(tx, Some(reports::WAITED_FOR)).await?;
                asked.load(tx).await
            })
            .await
    };
    match listed.await {
        Ok(found) => json::private(StatusCode::OK, &found),
        Err(failure) => json::bearer_failure(&visit, &failure),
    }
}

/// One session, with its timeline.
#[utoipa::path(
    get, path = "/hub/api/v1/sessions/{id}", tag = "sessions", operation_id = "readSession",
    security(("bearer" = ["hub:sessions"])),
    params(("id" = Uuid, Path, description = "Its id, or the `sid` under which a client knows it.")),
    responses(
        (status = 200, body = SessionWithTimeline), (status = 401, body = Refusal),
        (status = 403, body = Refusal), (status = 404, body = Refusal),
    ),
)]
pub async fn show(app: Data<App>, visit: Visit, id: Path<String>) -> HttpResponse {
    let shown = async {
        Watcher::find(&app, &visit, HUB_SESSIONS).await?;
        app.db
            .single(visit.now, &visit.trace, async |tx| {
                let Some(session) = find(tx, &id).await? else { return Ok::<_, Failure>(None) };
                let timeline = audit::timeline(tx, session.id()).await?.into_iter().map(Event::from).collect();
                Ok(Some(SessionWithTimeline { session, timeline }))
            })
            .await
    };
    match shown.await {
        Ok(Some(found)) => json::private(StatusCode::OK, &found),
        Ok(None) => no_such_session(),
        Err(failure) => json::bearer_failure(&visit, &failure),
    }
}

/// Locks a session: everything that hangs on it is refused until it is unlocked, at the next use, everywhere.
#[utoipa::path(
    post, path = "/hub/api/v1/sessions/{id}/lock", tag = "sessions", operation_id = "lockSession",
    security(("bearer" = ["hub:sessions"])), request_body = Reason,
    params(("id" = Uuid, Path, description = "Its id, or the `sid` under which a client knows it.")),
    responses((status = 200, description = "The session as it is now.", body = Session), ChangeRefusal),
)]
pub async fn lock(app: Data<App>, visit: Visit, id: Path<String>, body: Body) -> HttpResponse {
    change(&app, &visit, &id, body, async |tx, id, reason, by| sessions::lock(tx, id, reason, by).await).await
}

/// Lets a locked session go on.
#[utoipa::path(
    post, path = "/hub/api/v1/sessions/{id}/unlock", tag = "sessions", operation_id = "unlockSession",
    security(("bearer" = ["hub:sessions"])), request_body = Reason,
    params(("id" = Uuid, Path, description = "Its id, or the `sid` under which a client knows it.")),
    responses((status = 200, description = "The session as it is now.", body = Session), ChangeRefusal),
)]
pub async fn unlock(app: Data<App>, visit: Visit, id: Path<String>, body: Body) -> HttpResponse {
    change(&app, &visit, &id, body, async |tx, id, reason, by| sessions::unlock(tx, id, reason, by).await).await
}

/// Ends a session, and with it all that hangs on it; of a `sid` the offline access that came of it for that client, too.
#[utoipa::path(
    post, path = "/hub/api/v1/sessions/{id}/end", tag = "sessions", operation_id = "endSession",
    security(("bearer" = ["hub:sessions"])), request_body = Reason,
    params(("id" = Uuid, Path, description = "Its id, or the `sid` under which a client knows it.")),
    responses((status = 200, description = "The session as it is now.", body = Session), ChangeRefusal),
)]
pub async fn end(app: Data<App>, visit: Visit, id: Path<String>, body: Body) -> HttpResponse {
    change(&app, &visit, &id, body, async |tx, id, reason, by| sessions::end_by_hand(tx, id, Some(reason), by).await)
        .await
}

type Body = Result<TypedJson<Reason>, BadBody>;

/// What came of a change.
enum Changed {
    Done(Box<Session>),
    Unchanged,
    NoSuchSession,
}

async fn change(
    app: &App,
    visit: &Visit,
    id: &str,
    body: Body,
    act: impl AsyncFn(&mut Tx, Uuid, &str, Actor) -> Result<bool, Broken>,
) -> HttpResponse {
    // Who may not do it is told so, whatever the body is.
    let watcher = match Watcher::find(app, visit, HUB_SESSIONS).await {
        Ok(watcher) => watcher,
        Err(failure) => return json::bearer_failure(visit, &failure),
    };
    let reason = match body {
        Ok(TypedJson(Reason { reason })) => reason,
        Err(bad) => return bad.error_response(),
    };
    if !sessions::is_reason(&reason) {
        return json::error(StatusCode::BAD_REQUEST, &Error::invalid_request(sessions::REASON_RULE));
    }
    let changed = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let Some(session) = find(tx, id).await? else { return Ok::<_, Failure>(Changed::NoSuchSession) };
            let mut is_changed = false;
            for id in resolve(tx, id).await? {
                is_changed |= act(tx, id, &reason, watcher.actor()).await?;
            }
            if !is_changed {
                return Ok(Changed::Unchanged);
            }
            let after = load(tx, session.id()).await?;
            Ok(Changed::Done(Box::new(after.unwrap_or(session))))
        })
        .await;
    match changed {
        Ok(Changed::Done(session)) => json::private(StatusCode::OK, &session),
        Ok(Changed::Unchanged) => {
            let error = Error::invalid_request("the session is in that state already, or has ended");
            json::error(StatusCode::CONFLICT, &error)
        }
        Ok(Changed::NoSuchSession) => no_such_session(),
        Err(failure) => json::bearer_failure(visit, &failure),
    }
}

async fn find(tx: &mut Tx, id: &str) -> Outcome<Option<Session>> {
    match resolve(tx, id).await?.first() {
        Some(id) => load(tx, *id).await,
        None => Ok(None),
    }
}

/// What an id or a `sid` stands for.
async fn resolve(tx: &mut Tx, id: &str) -> Outcome<Vec<Uuid>> {
    match id.parse() {
        Ok(id) => Ok(rows::resolve(tx, id).await?),
        Err(_) => Ok(Vec::new()),
    }
}

async fn load(tx: &mut Tx, id: Uuid) -> Outcome<Option<Session>> {
    let filter = Filter { id: Some(id), limit: 1, ..Filter::default() };
    Ok(session_lists::load(tx, &filter).await?.into_iter().next().map(Session::from))
}

fn no_such_session() -> HttpResponse {
    json::error(StatusCode::NOT_FOUND, &Error::invalid_request("there is no session of this id or sid"))
}

/// Which sessions are asked for.
struct Asked {
    kind: Option<String>,
    user: Option<String>,
    client: Option<String>,
    live: bool,
    before: Option<Uuid>,
    limit: i64,
}

impl Asked {
    /// What is misspelt is refused: a filter that is passed over would show everybody's.
    fn read(parameters: &Parameters) -> Result<Self, Error> {
        parameters.refuse_unusable()?;
        let known = ["kind", "user", "client", "live", "before", "limit"];
        if let Some((name, _)) = parameters.pairs().find(|(name, _)| !known.contains(name)) {
            return Err(Error::invalid_request(format!("there is no filter {}", name.escape_debug())));
        }
        let text = |name: &str| parameters.get(name).map(str::to_owned);
        let wrong = |name: &'static str| move |_| Error::invalid_request(format!("{name} cannot be read"));
        let live = parameters.get("live").map(str::parse).transpose().map_err(wrong("live"))?.unwrap_or(false);
        let before = parameters.get("before").map(str::parse).transpose();
        let before = before.map_err(|_: uuid::Error| Error::invalid_request("before is not an id"))?;
        let limit = parameters.get("limit").map_or(Ok(USUAL), str::parse);
        let limit = limit.ok().filter(|limit| (1..=MOST).contains(limit));
        let limit = limit.ok_or_else(|| Error::invalid_request(format!("limit is 1 to {MOST}")))?;
        Ok(Self { kind: text("kind"), user: text("user"), client: text("client"), live, before, limit })
    }

    async fn load(&self, tx: &mut Tx) -> Outcome<Sessions> {
        let user_id = match &self.user {
            None => None,
            Some(user) => match user.parse() {
                Ok(id) => Some(id),
                Err(_) => match users::find_by_username(tx, user).await? {
                    Some(user) => Some(user.id),
                    None => return Ok(Sessions { sessions: Vec::new(), next: None }),
                },
            },
        };
        let filter = Filter {
            id: None,
            user_id,
            client_id: self.client.as_deref(),
            kind: self.kind.as_deref(),
            live_only: self.live,
            offline: None,
            before: self.before,
            limit: self.limit,
        };
        let sessions: Vec<Session> = session_lists::load(tx, &filter).await?.into_iter().map(Session::from).collect();
        let is_full = i64::try_from(sessions.len()).is_ok_and(|count| count == self.limit);
        let next = sessions.last().filter(|_| is_full).map(Session::id);
        Ok(Sessions { sessions, next })
    }
}
