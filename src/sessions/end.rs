//! Ending sessions: one UPDATE of one row, with its event and what others must be told, in one transaction (invariants 3
//! and 4).

use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx, devices, grants,
        session_clients::{self, FrontChannelParty},
        session_ends::{self, EndedSession},
        users,
    },
    failure::Broken,
};

/// Ends a session and with it all that hangs on it. `false` when it had ended.
pub async fn end(tx: &mut Tx, session_id: Uuid, reason: &str, actor: Actor) -> Result<bool, Broken> {
    let ended = session_ends::end(tx, session_id, reason).await?;
    Ok(tell(tx, ended, actor) > 0)
}

/// Ends the session of the browser at hand, because the person or visitor at it wants it. Returns the parties that this
/// browser is to tell.
pub async fn sign_out(
    tx: &mut Tx,
    session_id: Uuid,
    reason: &str,
    actor: Actor,
) -> Result<Vec<FrontChannelParty>, Broken> {
    if !end(tx, session_id, reason, actor).await? {
        return Ok(Vec::new());
    }
    session_clients::load_front_channel(tx, session_id).await
}

/// Ends the person's other browser sessions, keeping `keep` and offline access, and forgets their other devices. Returns how
/// many.
pub async fn end_others(tx: &mut Tx, user_id: Uuid, keep: Uuid, actor: Actor) -> Result<usize, Broken> {
    let here = tx.trace.device_cookie.clone();
    devices::forget(tx, user_id, None, here.as_deref()).await?;
    let ended = session_ends::end_of_user(tx, user_id, Some(keep), false, "ended_by_user").await?;
    Ok(tell(tx, ended, actor))
}

/// Ends everything of a person: their sessions, offline ones too, and whatever sign-in is in flight at this moment. None of
/// their devices is known any more.
pub async fn end_all_of_user(tx: &mut Tx, user_id: Uuid, reason: &str, actor: Actor) -> Result<usize, Broken> {
    devices::forget(tx, user_id, None, None).await?;
    users::bump_epoch(tx, user_id).await?;
    let ended = session_ends::end_of_user(tx, user_id, None, true, reason).await?;
    Ok(tell(tx, ended, actor))
}

/// Ends the person's privileged sessions; the sessions that these hang on go on. Returns how many. The caller holds the
/// person, so that none begins meanwhile.
pub async fn end_privileged(tx: &mut Tx, user_id: Uuid, reason: &str, actor: Actor) -> Result<usize, Broken> {
    let ended = session_ends::end_privileged_of_user(tx, user_id, reason).await?;
    Ok(tell(tx, ended, actor))
}

/// Ends a family, and with it the offline session that was begun for it. `false` when it had ended.
pub async fn end_family(tx: &mut Tx, grant_id: Uuid, reason: &str, actor: Actor) -> Result<bool, Broken> {
    let Some(family) = grants::end(tx, grant_id, reason).await? else { return Ok(false) };
    if let Some(offline) = family.offline_session_id {
        end(tx, offline, reason, actor).await?;
    }
    Ok(true)
}

/// Ends what died by itself, of at most `limit` sessions that may have: dead they were without it, this tells. Returns
/// whether there may be more.
pub async fn end_dead(tx: &mut Tx, limit: i64) -> Result<bool, Broken> {
    let (looked, ended) = session_ends::end_dead(tx, limit).await?;
    tell(tx, ended, Actor::Server);
    Ok(looked == limit)
}

/// Records what was ended, and says how many.
fn tell(tx: &mut Tx, ended: impl IntoIterator<Item = EndedSession>, actor: Actor) -> usize {
    let mut count = 0;
    for session in ended {
        let subject = Subject {
            session_id: Some(session.id),
            session_kind: Some(session.kind),
            user_id: session.user_id,
            client_id: session.client_id,
        };
        audit::record(tx, Event::done(Action::SessionEnded, actor, subject).reason(session.end_reason));
        count += 1;
    }
    count
}
