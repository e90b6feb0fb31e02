//! Issuing a code: the family, the code and its event in one statement.

use serde_json::json;
use uuid::Uuid;

use super::AuthorizationRequest;
use crate::{
    audit::{self, Action, Actor, Event},
    clients::Client,
    config,
    db::{
        Tx,
        authorization_codes::{self, NewCode},
        sessions::LiveSession,
    },
    failure::Broken,
    sessions,
    tokens::{CodeSecrets, PlainToken},
};

/// All that a code is made of.
pub struct Issue<'a> {
    pub request: &'a AuthorizationRequest,
    /// The stored request that this answers, if it had to wait.
    pub request_id: Option<Uuid>,
    pub client: &'a Client,
    pub session: &'a LiveSession,
    /// Under which `sid` the client knows the session already.
    pub sid: Option<Uuid>,
    /// `None`: the session's anonymous visitor.
    pub user_id: Option<Uuid>,
}

/// Issues the code. `None`: the stored request was answered meanwhile; resume it to get the same code.
pub async fn issue(
    tx: &mut Tx,
    codes: &CodeSecrets,
    lifetimes: &config::Tokens,
    issue: &Issue<'_>,
) -> Result<Option<PlainToken>, Broken> {
    let Issue { request, client, session, .. } = issue;
    let (code_id, grant_id) = (tx.new_id(), tx.new_id());
    let scope = request.scope.to_string();
    let claims = (!request.claims.is_empty()).then(|| json!(request.claims));
    let mut subject = sessions::subject(session);
    subject.client_id = Some(client.id.clone());
    let actor = if issue.user_id.is_some() { Actor::User } else { Actor::Visitor };
    audit::record(tx, Event::done(Action::CodeIssued, actor, subject).detail(json!({ "scope": scope })));
    let new = NewCode {
        code_id,
        grant_id,
        request_id: issue.request_id,
        session_id: session.id,
        root_id: session.root_id,
        sid: issue.sid,
        user_id: issue.user_id,
        client_id: &client.id,
        client_epoch: client.session_epoch,
        redirect_uri: request.redirect_uri.as_str(),
        code_challenge: request.code_challenge.as_deref(),
        scope: &scope,
        resources: &request.resources,
        acr: &session.acr,
        amr: &session.amr,
        auth_time: session.auth_time,
        nonce: request.nonce.as_deref(),
        claims: claims.as_ref(),
        expires_at: (tx.now + lifetimes.code).min(session.expires_at),
    };
    let issued = authorization_codes::issue(tx, &new).await?;
    Ok(issued.then(|| codes.code(code_id)))
}
