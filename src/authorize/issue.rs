//! Issuing a code: the family, the code and its event in one statement.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{AuthorizationRequest, HeldProof};
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
    oauth::Acr,
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
    /// What the code hangs on where it has privileged scopes; its family hangs on the user session.
    pub privileged: Option<Privileged>,
}

/// A privileged session, and the proof that it is for.
pub struct Privileged {
    pub session_id: Uuid,
    /// Until when what is issued may be privileged: the session's end, or earlier.
    pub until: DateTime<Utc>,
    pub proof: HeldProof,
}

/// Issues the code. `None`: the stored request was answered meanwhile; resume it to get the same code.
pub async fn issue(
    tx: &mut Tx,
    codes: &CodeSecrets,
    lifetimes: &config::Tokens,
    issue: &Issue<'_>,
) -> Result<Option<PlainToken>, Broken> {
    let Issue { request, client, session, .. } = issue;
    let grant_id = tx.new_id();
    let scope = request.scope.to_string();
    let claims = (!request.claims.is_empty()).then(|| json!(request.claims));
    // A later step-up never upgrades what was issued before, so the facts of the authentication are the family's own.
    let (acr, amr, auth_time) = match &issue.privileged {
        Some(Privileged { proof, .. }) => (proof.acr, &proof.amr, Some(proof.at)),
        None => (session.acr.parse().unwrap_or(Acr::Visitor), &session.amr, session.auth_time),
    };
    let proved_with = match &issue.privileged {
        Some(Privileged { proof, .. }) => proof.with(),
        None => session.proved_with.as_deref().unwrap_or_default(),
    };
    let mut subject = sessions::subject(session).with_client(&client.id);
    let (code_session_id, ends_at) = match &issue.privileged {
        Some(on) => {
            (subject.session_id, subject.session_kind) = (Some(on.session_id), Some("privileged".into()));
            (on.session_id, on.until)
        }
        None => (session.id, session.expires_at),
    };
    let actor = if issue.user_id.is_some() { Actor::User } else { Actor::Visitor };
    audit::record(tx, Event::done(Action::CodeIssued, actor, subject).detail(json!({ "scope": scope })));
    let new = NewCode {
        grant_id,
        request_id: issue.request_id,
        session_id: session.id,
        code_session_id,
        privileged_until: issue.privileged.as_ref().map(|on| on.until),
        root_id: session.root_id,
        is_noted: session.is_noted(tx.now),
        sid: issue.sid,
        user_id: issue.user_id,
        client_id: &client.id,
        client_epoch: client.session_epoch,
        redirect_uri: request.redirect_uri.as_str(),
        code_challenge: request.code_challenge.as_deref(),
        scope: &scope,
        resources: &request.resources,
        acr: request.answered_acr(acr).as_str(),
        amr,
        auth_time,
        proved_with: (!proved_with.is_empty()).then_some(proved_with),
        losses_before: session.losses,
        nonce: request.nonce.as_deref(),
        claims: claims.as_ref(),
        expires_at: (tx.now + lifetimes.code).min(ends_at),
    };
    let issued = authorization_codes::issue(tx, &new).await?;
    Ok(issued.then(|| codes.code(grant_id)))
}
