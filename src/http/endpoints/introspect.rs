//! Token introspection (RFC 7662), signed where the caller asks for it (RFC 9701): one statement finds the caller and
//! whether the token is live.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{Accept, Header as _, Quality},
    },
    web::Data,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::App,
    clients::{
        Client,
        scope::{registered, unprivileged},
    },
    db::{
        Outcome, Trace, Tx,
        access_tokens::{self, LiveToken},
        grants::{self, RefreshState},
        json::Json,
        sessions,
    },
    failure::Failure,
    http::{
        client_call::{audiences, authenticator, confidential, credentials, named},
        extract::{Form, Visit},
        render::json,
    },
    oauth::{
        ClientMetadata, Scope,
        client_metadata::{Introspection, SigningAlgorithm, SubjectType},
        scope::GROUPS,
    },
    tokens::{INTROSPECTION_TYPE, Presented, RefreshSecrets},
};

pub async fn introspect(app: Data<App>, visit: Visit, request: HttpRequest, form: Form) -> HttpResponse {
    let answered = run(&app, &visit, &form).await.and_then(|(caller, answer)| {
        if !wants_jwt(&request) {
            return Ok(json::private(StatusCode::OK, &answer));
        }
        let algorithm = caller.metadata.introspection_signed_response_alg.unwrap_or(SigningAlgorithm::Rs256);
        let jwt = app.mint.introspection(algorithm.into(), &caller.id, answer, visit.now)?;
        Ok(json::signed(&format!("application/{INTROSPECTION_TYPE}"), jwt))
    });
    answered.unwrap_or_else(|failure| json::failure(&visit, named(&visit, &form.0).as_deref(), &failure))
}

/// RFC 9701 §4: the caller asks for a JWT by naming its media type before any other.
fn wants_jwt(request: &HttpRequest) -> bool {
    let Ok(mut accept) = Accept::parse(request) else { return false };
    accept.retain(|item| item.quality > Quality::ZERO);
    accept
        .ranked()
        .first()
        .is_some_and(|first| first.essence_str().strip_prefix("application/") == Some(INTROSPECTION_TYPE))
}

async fn run(app: &App, visit: &Visit, form: &Form) -> Outcome<(Client, Value)> {
    let credentials = credentials(app, visit, &form.0).await?;
    let token = form.0.require("token")?;
    let audiences = audiences(app, "/oauth/introspect");
    let audiences = audiences.each_ref().map(String::as_str);
    let authenticator = authenticator(app, visit, &audiences);
    let client_id = credentials.client_id.as_str();
    let dead = json!({ "active": false });
    if let Some(presented) = RefreshSecrets::parse(token) {
        let found = app
            .db
            .read(visit.now, &visit.trace, async |tx| {
                grants::find_refresh_with_client(tx, client_id, Some(presented.grant_id)).await.map_err(Failure::from)
            })
            .await?;
        let (row, state) = found.map_or((None, None), |(row, state)| (Some(row), state));
        let caller = confidential(authenticator.authenticate(&credentials, row).await?)?;
        let live = state.filter(|state| {
            app.mint.refresh.is_genuine(&presented, &state.seed)
                && presented.generation == state.generation
                && caller.may_introspect(&state.client_id, &[], &[])
        });
        let Some(mut state) = live else { return Ok((caller, dead)) };
        if !is_privileged(app, visit, &state).await? {
            state.scope = unprivileged(&Scope::parse(&state.scope)?, &app.config.scopes).to_string();
        }
        let answer = refresh_answer(app, &caller, &state)?;
        return Ok((caller, answer));
    }
    let presented = Presented::read(token, &app.mint.keys);
    let found = app
        .db
        .read(visit.now, &visit.trace, async |tx| {
            let id = presented.as_ref().map(|presented| presented.id);
            access_tokens::find_live_with_caller(tx, client_id, id).await.map_err(Failure::from)
        })
        .await?;
    let (row, token) = found.map_or((None, None), |(row, token)| (Some(row), token));
    let caller = confidential(authenticator.authenticate(&credentials, row).await?)?;
    // RFC 7662 §2.2: what the caller may not see looks like what is not there.
    let live = token.zip(presented).filter(|(token, presented)| {
        presented.is_genuine(token)
            && caller.may_introspect(&token.token_client_id, &token.audience, &app.config.resources)
    });
    let Some((token, _)) = live else { return Ok((caller, dead)) };
    if token.session_kind == "privileged" {
        // Work goes on where its tokens are looked at. Whoever looks is not the person: where and by what is left alone.
        let now = visit.now;
        app.db.single(now, &Trace::default(), async |tx| sessions::touch(tx, token.session_id).await).await?;
    }
    let answer = access_answer(app, &caller, &token)?;
    Ok((caller, answer))
}

/// Whether a refresh would give tokens with privileged scopes.
async fn is_privileged(app: &App, visit: &Visit, state: &RefreshState) -> Outcome<bool> {
    let Some(id) = state.privileged_session_id else { return Ok(false) };
    let look = async |tx: &mut Tx| sessions::find_live(tx, id).await.map_err(Failure::from);
    Ok(app.db.read(visit.now, &visit.trace, look).await?.is_some())
}

/// What a token of either kind hangs on, and what it was issued for.
struct Mooring<'a> {
    client_id: &'a str,
    /// Of that client, where it is not the caller.
    client_metadata: Option<&'a Json<ClientMetadata>>,
    scope: &'a str,
    session_id: Uuid,
    session_kind: &'a str,
    session_started_at: DateTime<Utc>,
    session_expires_at: DateTime<Utc>,
    sid: Uuid,
    user_id: Option<Uuid>,
    username: Option<&'a str>,
    acr: &'a str,
    amr: &'a [String],
    auth_time: Option<DateTime<Utc>>,
}

impl Mooring<'_> {
    /// The client that it was issued to.
    fn client<'a>(&'a self, caller: &'a Client) -> Outcome<&'a ClientMetadata> {
        Ok(match self.client_metadata {
            None => &caller.metadata,
            Some(metadata) => metadata.get()?,
        })
    }

    /// What the caller is told of it.
    ///
    /// The name of the person is that by which the token's own client knows them, whoever asks: it is the one that a JWT of
    /// the same client says, and two clients that meet at an API cannot compare their people there (OIDC Core §8.1). For
    /// the same reason `username` is only for callers that may see every token, where the client's subjects are pairwise,
    /// and so is the session's own id: others know it by the client's `sid`.
    fn told_to(&self, app: &App, caller: &Client) -> Outcome<Value> {
        let sees_all = caller.metadata.introspection == Introspection::Any;
        let mut answer = json!({
            "active": true, "iss": app.config.issuer.as_str(), "client_id": self.client_id, "sid": self.sid,
            "session": { "id": if sees_all { self.session_id } else { self.sid }, "kind": self.session_kind,
                "started_at": self.session_started_at.timestamp(), "expires_at": self.session_expires_at.timestamp() },
        });
        // RFC 6749 §3.3: at least one token stands in it.
        if !self.scope.is_empty() {
            answer["scope"] = self.scope.into();
        }
        if let Some(who) = app.mint.subjects.who(self.user_id, self.session_kind, self.session_id) {
            let client = self.client(caller)?;
            answer["sub"] = app.mint.subjects.of(client, who).into();
            answer["acr"] = self.acr.into();
            if let Some(username) = self.username.filter(|_| sees_all || client.subject_type == SubjectType::Public) {
                answer["username"] = username.into();
            }
        }
        if self.user_id.is_some() {
            answer["amr"] = json!(self.amr);
            answer["auth_time"] = json!(self.auth_time.map(|at| at.timestamp()));
        }
        Ok(answer)
    }
}

fn access_answer(app: &App, caller: &Client, token: &LiveToken) -> Outcome<Value> {
    let mooring = Mooring {
        client_id: &token.token_client_id,
        client_metadata: token.client_metadata.as_ref(),
        scope: &token.scope,
        session_id: token.session_id,
        session_kind: &token.session_kind,
        session_started_at: token.session_started_at,
        session_expires_at: token.session_expires_at,
        sid: token.sid,
        user_id: token.user_id,
        username: token.username.as_deref(),
        acr: &token.acr,
        amr: &token.amr,
        auth_time: token.auth_time,
    };
    let mut answer = mooring.told_to(app, caller)?;
    answer["token_type"] = "Bearer".into();
    if let Some(until) = token.privileged_until {
        answer["privileged_until"] = until.timestamp().into();
    }
    answer["iat"] = token.issued_at.timestamp().into();
    answer["exp"] = token.expires_at.timestamp().into();
    answer["jti"] = token.id.to_string().into();
    answer["aud"] = if let [one] = token.audience.as_slice() { one.as_str().into() } else { json!(token.audience) };
    // RFC 9068 §2.2.3.1. What was taken out of the client's registration since is not released any more.
    if let Some(groups) = token.groups.as_ref().filter(|_| has_scope(&token.scope, GROUPS))
        && registered(mooring.client(caller)?).contains(GROUPS)
    {
        answer["groups"] = json!(groups);
    }
    if answer.get("sub").is_none() {
        // RFC 9068 §2.2: where there is no person, the client speaks for itself.
        answer["sub"] = token.token_client_id.as_str().into();
    }
    Ok(answer)
}

fn has_scope(scope: &str, name: &str) -> bool {
    scope.split(' ').any(|token| token == name)
}

fn refresh_answer(app: &App, caller: &Client, state: &RefreshState) -> Outcome<Value> {
    let mooring = Mooring {
        client_id: &state.client_id,
        client_metadata: state.client_metadata.as_ref(),
        scope: &state.scope,
        session_id: state.session_id,
        session_kind: &state.session_kind,
        session_started_at: state.session_started_at,
        session_expires_at: state.session_expires_at,
        sid: state.sid,
        user_id: state.user_id,
        username: state.username.as_deref(),
        acr: &state.acr,
        amr: &state.amr,
        auth_time: state.auth_time,
    };
    let mut answer = mooring.told_to(app, caller)?;
    answer["exp"] = state.session_expires_at.timestamp().into();
    Ok(answer)
}
