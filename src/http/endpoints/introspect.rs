//! Token introspection (RFC 7662), signed where the caller asks for it (RFC 9701): one statement finds the caller and
//! whether the token is live.

use std::borrow::Cow;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{Accept, Header as _, Quality},
    },
    web::Data,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    app::App,
    clients::Client,
    db::{
        Outcome,
        access_tokens::{self, LiveToken},
        grants::{self, RefreshState},
    },
    failure::{Broken, Failure},
    http::{
        client_call::{audiences, authenticator, credentials},
        extract::{Form, Visit},
        render::json,
    },
    oauth::{
        ClientMetadata, Error,
        client_metadata::{AuthMethod, Introspection, SigningAlgorithm, SubjectType},
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
    answered.unwrap_or_else(|failure| json::failure(&visit, &failure))
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
    let credentials = credentials(visit, &form.0)?;
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
                && may_see(&caller, &state.client_id, &[])
        });
        let answer = live.map_or(Ok(dead), |state| refresh_answer(app, &caller, &state))?;
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
        presented.is_genuine(token) && may_see(&caller, &token.token_client_id, &token.audience)
    });
    let answer = live.map_or(Ok(dead), |(token, _)| access_answer(app, &caller, &token))?;
    Ok((caller, answer))
}

/// RFC 7662 §2.1: the endpoint requires authorization, or it could be scanned for tokens.
fn confidential(caller: Client) -> Result<Client, Failure> {
    if caller.metadata.token_endpoint_auth_method == AuthMethod::None {
        return Err(Error::invalid_client("a public client may not introspect tokens").into());
    }
    Ok(caller)
}

fn may_see(caller: &Client, issued_to: &str, audience: &[String]) -> bool {
    caller.metadata.introspection == Introspection::Any || caller.id == issued_to || audience.contains(&caller.id)
}

/// What is said of the person behind a token. The name is that by which the token's own client knows them, whoever asks:
/// it is the one that a JWT of the same client says, and two clients that meet at an API cannot compare their people
/// there (OIDC Core §8.1). For the same reason `username` is only for callers that may see every token, where the
/// client's subjects are pairwise.
struct Person {
    sub: String,
    username: Option<String>,
}

impl Person {
    /// `of_client`: the metadata of the token's client where that is not the caller.
    fn seen_by(
        app: &App,
        caller: &Client,
        of_client: Option<&Value>,
        who: Uuid,
        username: Option<&String>,
    ) -> Outcome<Self> {
        let client = match of_client {
            None => Cow::Borrowed(&caller.metadata),
            Some(metadata) => Cow::Owned(ClientMetadata::deserialize(metadata).map_err(Broken::new)?),
        };
        let named = client.subject_type == SubjectType::Public || caller.metadata.introspection == Introspection::Any;
        Ok(Self { sub: app.mint.subjects.of(&client, who), username: username.filter(|_| named).cloned() })
    }
}

fn access_answer(app: &App, caller: &Client, token: &LiveToken) -> Outcome<Value> {
    let mut answer = Map::new();
    answer.insert("active".into(), true.into());
    answer.insert("iss".into(), app.config.issuer.as_str().into());
    answer.insert("token_type".into(), "Bearer".into());
    answer.insert("scope".into(), token.scope.as_str().into());
    answer.insert("client_id".into(), token.token_client_id.as_str().into());
    answer.insert("exp".into(), token.expires_at.timestamp().into());
    answer.insert("iat".into(), token.issued_at.timestamp().into());
    answer.insert("jti".into(), token.id.to_string().into());
    answer.insert(
        "aud".into(),
        if let [one] = token.audience.as_slice() { one.as_str().into() } else { json!(token.audience) },
    );
    answer.insert("sub".into(), token.token_client_id.as_str().into());
    answer.insert("sid".into(), token.sid.to_string().into());
    if let Some(who) = app.mint.subjects.who(token.user_id, &token.session_kind, token.session_id) {
        let of_client = token.client_metadata.as_ref();
        let person = Person::seen_by(app, caller, of_client, who, token.username.as_ref())?;
        answer.insert("sub".into(), person.sub.into());
        if let Some(username) = person.username {
            answer.insert("username".into(), username.into());
        }
        answer.insert("acr".into(), token.acr.as_str().into());
    }
    if token.user_id.is_some() {
        answer.insert("amr".into(), json!(token.amr));
        answer.insert("auth_time".into(), json!(token.auth_time.map(|at| at.timestamp())));
    }
    let id = session_id(caller, token.session_id, token.sid);
    answer.insert(
        "session".into(),
        json!({ "id": id, "kind": token.session_kind, "started_at": token.session_started_at.timestamp(),
            "expires_at": token.session_expires_at.timestamp() }),
    );
    Ok(Value::Object(answer))
}

fn refresh_answer(app: &App, caller: &Client, state: &RefreshState) -> Outcome<Value> {
    let of_client = state.client_metadata.as_ref();
    let who = app.mint.subjects.who(state.user_id, &state.session_kind, state.session_id);
    let person = who.map(|who| Person::seen_by(app, caller, of_client, who, state.username.as_ref()));
    let person = person.transpose()?;
    let mut answer = json!({
        "active": true, "iss": app.config.issuer.as_str(), "client_id": state.client_id, "scope": state.scope,
        "sid": state.sid, "exp": state.session_expires_at.timestamp(), "acr": state.acr,
        "session": { "id": session_id(caller, state.session_id, state.sid), "kind": state.session_kind,
            "started_at": state.session_started_at.timestamp(), "expires_at": state.session_expires_at.timestamp() },
    });
    if state.user_id.is_some() {
        answer["amr"] = json!(state.amr);
        answer["auth_time"] = json!(state.auth_time.map(|at| at.timestamp()));
    }
    if let Some(person) = person {
        answer["sub"] = person.sub.into();
        if let Some(username) = person.username {
            answer["username"] = username.into();
        }
    }
    Ok(answer)
}

/// The session's own id is for callers that may see every token; others know it by the client's `sid`.
fn session_id(caller: &Client, session_id: Uuid, sid: Uuid) -> Uuid {
    if caller.metadata.introspection == Introspection::Any { session_id } else { sid }
}
