//! Privileged sessions: the short ones that a proof begins, children of the browser's user session.
//!
//! Their number is kept by locking the person's row: whoever is about to begin one first ends those that died by
//! themselves, then counts. A locked one is not dead; nobody gets round a lock by proving who they are again, nor by ending
//! what is locked: until its time is over there is no other.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx,
        privileged_sessions::{self, StepUp},
        sessions::{self, LiveSession, NewSession},
    },
    failure::Broken,
};

/// What a person proved, and what it is to begin.
pub struct Elevation<'a> {
    /// The browser's user session.
    pub root: &'a LiveSession,
    pub user_id: Uuid,
    pub client_id: &'a str,
    /// The privileged scopes.
    pub scope: &'a [String],
    pub acr: &'a str,
    pub amr: &'a [String],
    pub proved_at: DateTime<Utc>,
    /// The credentials that proved it.
    pub proved_with: &'a [Uuid],
    /// Until when it is to be: no longer than its scopes allow, and than was agreed to. A session that begins ends then; one
    /// that is joined keeps its own end.
    pub until: DateTime<Utc>,
    /// The person agreed that one of theirs in another browser ends for this.
    pub may_supersede: bool,
}

/// Where the work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elevated {
    On {
        session_id: Uuid,
        /// For as long as what was asked for may be done there.
        until: DateTime<Utc>,
    },
    /// The person has as many as they may have, in other browsers.
    Full,
    /// One of theirs is locked: whoever watches it decides.
    Locked,
    /// The user session has ended.
    Gone,
}

/// Begins a privileged session, or joins the one that this browser has: two relying parties do not end each other's work.
pub async fn elevate(
    tx: &mut Tx,
    limits: &config::PrivilegedSessions,
    elevation: &Elevation<'_>,
) -> Result<Elevated, Broken> {
    let Elevation { root, user_id, .. } = *elevation;
    privileged_sessions::lock_person(tx, user_id).await?;
    if !sessions::lock_open(tx, root.id).await? {
        return Ok(Elevated::Gone);
    }
    let mut open = Vec::new();
    for session in privileged_sessions::load_open(tx, user_id).await? {
        match session.died() {
            Some(reason) => {
                super::end(tx, session.id, reason, Actor::Server).await?;
            }
            None => open.push(session),
        }
    }
    if open.iter().any(|session| session.is_locked) {
        return Ok(Elevated::Locked);
    }
    let own = open.iter().position(|session| session.parent_id == root.id).map(|at| open.remove(at));
    let (session_id, ends_at) = if let Some(own) = own {
        let facts = (elevation.acr, elevation.amr);
        privileged_sessions::renew(tx, own.id, facts, elevation.proved_at, elevation.proved_with).await?;
        (own.id, own.expires_at)
    } else {
        let room = usize::try_from(limits.per_person).map_err(Broken::new)?;
        let too_many = (open.len() + 1).saturating_sub(room);
        if too_many > 0 && !elevation.may_supersede {
            return Ok(Elevated::Full);
        }
        for oldest in open.iter().take(too_many) {
            super::end(tx, oldest.id, "superseded", Actor::User).await?;
        }
        start(tx, limits, elevation).await?
    };
    record(tx, elevation, session_id, Action::PrivilegeProved);
    let until = elevation.until.min(ends_at).min(root.expires_at);
    let step_up = StepUp {
        session_id,
        scope: elevation.scope.to_vec(),
        acr: elevation.acr.to_owned(),
        amr: elevation.amr.to_vec(),
        proved_at: elevation.proved_at,
        until: Some(until),
    };
    privileged_sessions::note_step_up(tx, elevation.client_id, &step_up).await?;
    Ok(Elevated::On { session_id, until })
}

async fn start(
    tx: &mut Tx,
    limits: &config::PrivilegedSessions,
    elevation: &Elevation<'_>,
) -> Result<(Uuid, DateTime<Utc>), Broken> {
    let amr: Vec<&str> = elevation.amr.iter().map(String::as_str).collect();
    let new = NewSession {
        kind: "privileged",
        parent_id: Some(elevation.root.id),
        visitor_id: None,
        user_id: Some(elevation.user_id),
        client_id: None,
        acr: elevation.acr,
        amr: &amr,
        auth_time: Some(elevation.proved_at),
        epoch: elevation.root.epoch,
        idle_timeout: Some(limits.idle),
        expires_at: elevation.until.min(elevation.root.expires_at),
        proved_with: elevation.proved_with,
    };
    let session_id = sessions::insert(tx, &new).await?;
    record(tx, elevation, session_id, Action::SessionStarted);
    Ok((session_id, new.expires_at))
}

fn record(tx: &mut Tx, elevation: &Elevation<'_>, session_id: Uuid, action: Action) {
    let subject = Subject {
        session_id: Some(session_id),
        session_kind: Some("privileged".into()),
        user_id: Some(elevation.user_id),
        client_id: Some(elevation.client_id.to_owned()),
    };
    let detail = json!({
        "parent": elevation.root.id, "scope": elevation.scope, "acr": elevation.acr, "amr": elevation.amr,
        "proved_at": elevation.proved_at,
    });
    audit::record(tx, Event::done(action, Actor::User, subject).detail(detail));
}
