//! Signing in: a new session with a new secret, its lineage kept (invariant 7).

use chrono::TimeDelta;
use serde_json::json;
use uuid::Uuid;

use super::{DeviceCookie, Proof, device::remember_device, end::end_beyond};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx,
        authorization_requests::{self, Proved},
        devices::KnownBy,
        sessions::{self, LiveSession, NewSession},
        users::User,
    },
    failure::Broken,
};

/// How long after a sign-in a second submit of the same form gets the same cookie rather than a newer one.
const DOUBLE_SUBMIT: TimeDelta = TimeDelta::seconds(10);

/// Somebody proved who they are.
pub struct SignIn<'a> {
    pub user: &'a User,
    pub proof: Proof,
    /// The credentials that gave it.
    pub with: &'a [Uuid],
    /// The authorization request that the proof was asked for; `None`: a page of our own.
    pub request_id: Option<Uuid>,
    /// The session of the browser, if it has a live one.
    pub current: Option<&'a LiveSession>,
    /// The session that an outdated but genuine cookie names: a form sent twice, or from a second tab.
    pub outdated: Option<Uuid>,
}

impl SignIn<'_> {
    fn proved(&self) -> Proved<'_> {
        Proved { acr: self.proof.acr.as_str(), amr: self.proof.amr, with: self.with }
    }
}

/// The session that the browser goes on in.
pub struct SignedIn {
    pub session_id: Uuid,
    pub generation: i32,
    /// The cookie by which the browser is known to the person from now on; `None`: it keeps the one it has.
    pub device: Option<DeviceCookie>,
}

/// Makes the user session of a sign-in.
///
/// Re-authentication of the same person keeps the session and renews its secret; another person ends the old session
/// first; a visitor's session is succeeded. The epoch is the one read with the password, so that "end everything of
/// this user" in between leaves the new session dead. Of two submits of one form the second gets what the first got.
pub async fn sign_in(tx: &mut Tx, sign_in: &SignIn<'_>, limits: &config::Sessions) -> Result<SignedIn, Broken> {
    let mut signed_in = begin(tx, sign_in, limits).await?;
    signed_in.device = remember_device(tx, sign_in.user.id, KnownBy::SignIn).await?;
    if let Some(request_id) = sign_in.request_id {
        authorization_requests::note_proof(tx, request_id, sign_in.user.id, &sign_in.proved()).await?;
    }
    Ok(signed_in)
}

async fn begin(tx: &mut Tx, sign_in: &SignIn<'_>, limits: &config::Sessions) -> Result<SignedIn, Broken> {
    match sign_in.current {
        Some(session) if session.user_id == Some(sign_in.user.id) => reauthenticate(tx, sign_in, session, limits).await,
        Some(session) => {
            let reason = if session.user_id.is_some() { "superseded" } else { "signed_in" };
            if !super::end(tx, session.root_id, reason, Actor::User).await?
                && let Some(again) = just_signed_in(tx, sign_in, session.root_id).await?
            {
                return Ok(again);
            }
            start(tx, sign_in, Some(session.root_id), limits).await
        }
        None => {
            let mut predecessor = sign_in.outdated;
            if let Some(outdated) = predecessor {
                if let Some(again) = just_signed_in(tx, sign_in, outdated).await? {
                    return Ok(again);
                }
                // What waits in a session that goes on stays there: this cookie does not speak for it any more.
                if sessions::find_live(tx, outdated).await?.is_some() {
                    predecessor = None;
                }
            }
            start(tx, sign_in, predecessor, limits).await
        }
    }
}

async fn reauthenticate(
    tx: &mut Tx,
    sign_in: &SignIn<'_>,
    session: &LiveSession,
    limits: &config::Sessions,
) -> Result<SignedIn, Broken> {
    let (id, seen) = (session.root_id, session.secret_generation);
    if let Some(generation) = sessions::reauthenticate(tx, id, seen, &sign_in.proved()).await? {
        let event = Event::done(Action::SessionReauthenticated, Actor::User, super::subject(session));
        audit::record(tx, event.detail(json!({ "acr": sign_in.proof.acr.as_str(), "amr": sign_in.proof.amr })));
        return Ok(SignedIn { session_id: id, generation, device: None });
    }
    match just_signed_in(tx, sign_in, id).await? {
        Some(again) => Ok(again),
        // It ended while the password was checked.
        None => start(tx, sign_in, None, limits).await,
    }
}

/// What another submit of the same form has just made of the session `id`: the session itself with a newer secret, or
/// its successor, of the same person.
async fn just_signed_in(tx: &mut Tx, sign_in: &SignIn<'_>, id: Uuid) -> Result<Option<SignedIn>, Broken> {
    let found = match sessions::find_live(tx, id).await? {
        Some(session) if session.user_id.is_some() => Some(session),
        _ => sessions::find_live_successor(tx, id).await?,
    };
    let now = tx.now;
    Ok(found
        .filter(|session| session.user_id == Some(sign_in.user.id) && session.acr == sign_in.proof.acr.as_str())
        .filter(|session| session.auth_time.is_some_and(|at| now - at < DOUBLE_SUBMIT))
        .map(|session| SignedIn { session_id: session.id, generation: session.secret_generation, device: None }))
}

async fn start(
    tx: &mut Tx,
    sign_in: &SignIn<'_>,
    predecessor: Option<Uuid>,
    limits: &config::Sessions,
) -> Result<SignedIn, Broken> {
    let new = NewSession {
        kind: "user",
        parent_id: None,
        visitor_id: predecessor,
        user_id: Some(sign_in.user.id),
        client_id: None,
        acr: sign_in.proof.acr.as_str(),
        amr: sign_in.proof.amr,
        auth_time: Some(tx.now),
        epoch: sign_in.user.session_epoch,
        idle_timeout: Some(limits.idle),
        expires_at: tx.now + limits.absolute,
        proved_with: sign_in.with,
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
        event.detail(json!({
            "acr": sign_in.proof.acr.as_str(), "amr": sign_in.proof.amr, "visitor": new.visitor_id, "device": tx.trace.device,
            "place": tx.trace.place,
        })),
    );
    end_beyond(tx, sign_in.user.id, "user", limits.per_person).await?;
    Ok(SignedIn { session_id, generation: 0, device: None })
}
