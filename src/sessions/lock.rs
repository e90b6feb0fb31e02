//! Locking and unlocking: a watcher stops what a session can do, and nothing of it is lost. One UPDATE each, with its
//! event (invariants 3 and 4).
//!
//! A locked session is not an ended one: whoever holds its cookie is told that it is locked, and does not get another by
//! signing in again in the same browser.

use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        session_locks::{self, ChangedSession},
    },
    failure::Broken,
};

/// Of a reason in a watcher's words.
pub const REASON_RULE: &str = "use 1 to 200 bytes without control characters";

/// Whether it is one that can be kept and shown.
#[must_use]
pub fn is_reason(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control)
}

/// Locks a session, and with it all that hangs on it, its privileged session included. `false` when it was locked, or has
/// ended.
pub async fn lock(tx: &mut Tx, session_id: Uuid, reason: &str, actor: Actor) -> Result<bool, Broken> {
    let locked = session_locks::lock(tx, session_id, reason).await?;
    Ok(tell(tx, Action::SessionLocked, locked, reason, actor))
}

/// Lets a locked session go on. `false` when it was not locked, or has ended.
pub async fn unlock(tx: &mut Tx, session_id: Uuid, reason: &str, actor: Actor) -> Result<bool, Broken> {
    let unlocked = session_locks::unlock(tx, session_id).await?;
    Ok(tell(tx, Action::SessionUnlocked, unlocked, reason, actor))
}

fn tell(tx: &mut Tx, action: Action, changed: Option<ChangedSession>, reason: &str, actor: Actor) -> bool {
    let Some(session) = changed else { return false };
    let subject = Subject {
        session_id: Some(session.id),
        session_kind: Some(session.kind),
        user_id: session.user_id,
        client_id: session.client_id,
    };
    audit::record(tx, Event::done(action, actor, subject).reason(reason));
    true
}
