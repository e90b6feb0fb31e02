//! Signing in: a new session with a new secret, its lineage kept (invariant 7).

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx, authorization_requests,
        sessions::{self, LiveSession, NewSession},
        users::User,
    },
    failure::Broken,
    oauth::Acr,
};

/// How long after a sign-in a second submit of the same form gets the same cookie rather than a newer one.
const DOUBLE_SUBMIT: TimeDelta = TimeDelta::seconds(10);

/// Somebody proved who they are.
pub struct SignIn<'a> {
    pub user: &'a User,
    pub acr: Acr,
    pub amr: &'a [&'a str],
    /// The session of the browser, if it has a live one.
    pub current: Option<&'a LiveSession>,
    /// The visitor session that an old but genuine cookie names: a form sent twice, or from a second tab.
    pub visitor_id: Option<Uuid>,
}

/// The session that the browser goes on in.
pub struct SignedIn {
    pub session_id: Uuid,
    pub generation: i32,
}

/// Makes the user session of a sign-in.
///
/// Re-authentication of the same person keeps the session and renews its secret; another person ends the old session
/// first; a visitor's session is succeeded. The epoch is the one read with the password, so that "end everything of
/// this user" in between leaves the new session dead.
pub async fn sign_in(tx: &mut Tx, sign_in: &SignIn<'_>, limits: &config::Sessions) -> Result<SignedIn, Broken> {
    let mut current = sign_in.current.cloned();
    if current.is_none()
        && let Some(visitor_id) = sign_in.visitor_id
    {
        current = sessions::find_live_successor(tx, visitor_id).await?;
        if let Some(successor) = &current
            && successor.user_id == Some(sign_in.user.id)
            && successor.auth_time.is_some_and(|at| tx.now - at < DOUBLE_SUBMIT)
        {
            return Ok(SignedIn { session_id: successor.id, generation: successor.secret_generation });
        }
    }
    match current {
        Some(session) if session.user_id == Some(sign_in.user.id) => {
            if let Some(generation) =
                sessions::reauthenticate(tx, session.root_id, sign_in.acr.as_str(), sign_in.amr).await?
            {
                let event = Event::done(Action::SessionReauthenticated, Actor::User, super::subject(&session));
                audit::record(tx, event.detail(serde_json::json!({ "acr": sign_in.acr.as_str(), "amr": sign_in.amr })));
                return Ok(SignedIn { session_id: session.root_id, generation });
            }
            start(tx, sign_in, None, limits).await
        }
        Some(session) => {
            let reason = if session.user_id.is_some() { "superseded" } else { "signed_in" };
            super::end(tx, session.root_id, reason, Actor::User).await?;
            start(tx, sign_in, Some(&session), limits).await
        }
        None => start(tx, sign_in, None, limits).await,
    }
}

async fn start(
    tx: &mut Tx,
    sign_in: &SignIn<'_>,
    predecessor: Option<&LiveSession>,
    limits: &config::Sessions,
) -> Result<SignedIn, Broken> {
    let new = NewSession {
        kind: "user",
        visitor_id: predecessor.map(|session| session.root_id).or(sign_in.visitor_id),
        user_id: Some(sign_in.user.id),
        client_id: None,
        acr: sign_in.acr.as_str(),
        amr: sign_in.amr,
        auth_time: Some(tx.now),
        epoch: sign_in.user.session_epoch,
        idle_timeout: Some(limits.idle),
        expires_at: tx.now + limits.absolute,
    };
    let session_id = sessions::insert(tx, &new).await?;
    if let Some(predecessor) = new.visitor_id {
        authorization_requests::follow_lineage(tx, predecessor, session_id).await?;
    }
    let subject = Subject {
        session_id: Some(session_id),
        session_kind: Some("user".into()),
        user_id: Some(sign_in.user.id),
        client_id: None,
    };
    let event = Event::done(Action::SessionStarted, Actor::User, subject);
    audit::record(
        tx,
        event.detail(serde_json::json!({
            "acr": sign_in.acr.as_str(), "amr": sign_in.amr, "visitor": new.visitor_id, "device": tx.trace.device,
            "place": tx.trace.place,
        })),
    );
    Ok(SignedIn { session_id, generation: 0 })
}
