//! Ending sessions: one UPDATE of one row, with its event and what others must be told, in one transaction (invariants 3
//! and 4).

use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx, devices, grants,
        session_clients::{self, FrontChannelParty},
        session_ends::{self, EndedSession},
        sessions::LiveSession,
        users,
    },
    failure::Broken,
};

/// Ends a session and with it all that hangs on it. `false` when it had ended.
///
/// A reason is one of a closed list, and much is decided by it. What somebody says in their own words goes to
/// [`end_by_hand`], which decides nothing by it.
pub async fn end(tx: &mut Tx, session_id: Uuid, reason: &'static str, actor: Actor) -> Result<bool, Broken> {
    let ended = session_ends::end(tx, session_id, reason, None).await?;
    Ok(tell(tx, ended, actor, None) > 0)
}

/// The reason of what an operator or an administrator ends.
const BY_HAND: &str = "ended_by_operator";

/// Ends a session of somebody else's, for a reason in words. `false` when it had ended.
pub async fn end_by_hand(tx: &mut Tx, session_id: Uuid, note: Option<&str>, actor: Actor) -> Result<bool, Broken> {
    let ended = session_ends::end(tx, session_id, BY_HAND, note).await?;
    Ok(tell(tx, ended, actor, note) > 0)
}

/// Ends everything of somebody else, for a reason in words. Returns how many sessions.
pub async fn end_all_by_hand(tx: &mut Tx, user_id: Uuid, note: Option<&str>, actor: Actor) -> Result<usize, Broken> {
    end_all(tx, user_id, (BY_HAND, note), actor).await
}

/// Ends the session of the browser at hand, because the person or visitor at it wants it. Returns the parties that this
/// browser is to tell.
pub async fn sign_out(
    tx: &mut Tx,
    session_id: Uuid,
    reason: &'static str,
    actor: Actor,
) -> Result<Vec<FrontChannelParty>, Broken> {
    if !end(tx, session_id, reason, actor).await? {
        return Ok(Vec::new());
    }
    session_clients::load_front_channel(tx, session_id).await
}

/// Ends a session at the word of a client that takes part in it and has proved that it is the client. `false` when it had
/// ended.
pub async fn end_by_client(tx: &mut Tx, session: &LiveSession, client_id: &str) -> Result<bool, Broken> {
    if !end(tx, session.root_id, "signed_out", Actor::Client).await? {
        return Ok(false);
    }
    let subject = super::subject(session).with_client(client_id);
    let event = Event::done(Action::ClientSignedOut, Actor::Client, subject);
    audit::record(tx, event.detail(json!({ "ended": "session" })));
    Ok(true)
}

/// Ends what one client has in a session: its grants, with their codes and refresh tokens, and its access tokens. The
/// session goes on, as does what other clients have in it, and offline access. Says whether there was anything.
pub async fn end_client(tx: &mut Tx, session: &LiveSession, client_id: &str) -> Result<bool, Broken> {
    let ended = grants::end_of_client(tx, session.root_id, client_id, "signed_out").await?;
    if ended.grants == 0 && ended.access_tokens == 0 {
        return Ok(false);
    }
    let subject = super::subject(session).with_client(client_id);
    let event = Event::done(Action::ClientSignedOut, Actor::Client, subject);
    audit::record(tx, event.detail(json!({ "ended": "grants", "grants": ended.grants })));
    Ok(true)
}

/// What becomes of the access that applications have while a person is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    Stays,
    Ends,
}

/// Ends the person's other browser sessions, keeping `keep`, and forgets their other devices. Returns how many.
pub async fn end_others(
    tx: &mut Tx,
    user_id: Uuid,
    keep: Uuid,
    offline: Offline,
    actor: Actor,
) -> Result<usize, Broken> {
    let here = tx.trace.device_cookie.clone();
    devices::forget(tx, user_id, None, here.as_deref()).await?;
    let with_offline = offline == Offline::Ends;
    let ended = session_ends::end_of_user(tx, user_id, Some(keep), with_offline, ("ended_by_user", None)).await?;
    Ok(tell(tx, ended, actor, None))
}

/// Ends everything of a person: their sessions, offline ones too, and whatever sign-in is in flight at this moment. None of
/// their devices is known any more.
pub async fn end_all_of_user(tx: &mut Tx, user_id: Uuid, reason: &'static str, actor: Actor) -> Result<usize, Broken> {
    end_all(tx, user_id, (reason, None), actor).await
}

async fn end_all(tx: &mut Tx, user_id: Uuid, why: (&'static str, Option<&str>), actor: Actor) -> Result<usize, Broken> {
    devices::forget(tx, user_id, None, None).await?;
    users::bump_epoch(tx, user_id).await?;
    let ended = session_ends::end_of_user(tx, user_id, None, true, why).await?;
    Ok(tell(tx, ended, actor, why.1))
}

/// One more session of this kind has begun: ends what is too many of the person's, as [`session_ends::end_beyond`] chooses.
/// Returns how many.
pub async fn end_beyond(tx: &mut Tx, user_id: Uuid, kind: &str, most: u32) -> Result<usize, Broken> {
    let ended = session_ends::end_beyond(tx, user_id, kind, most, "too_many").await?;
    Ok(tell(tx, ended, Actor::Server, None))
}

/// Ends the person's privileged sessions; the sessions that these hang on go on. Returns how many. The caller holds the
/// person, so that none begins meanwhile.
pub async fn end_privileged(tx: &mut Tx, user_id: Uuid, reason: &'static str, actor: Actor) -> Result<usize, Broken> {
    let ended = session_ends::end_privileged_of_user(tx, user_id, reason).await?;
    Ok(tell(tx, ended, actor, None))
}

/// Ends a family, and with it the offline session that was begun for it. `false` when it had ended.
pub async fn end_family(tx: &mut Tx, grant_id: Uuid, reason: &'static str, actor: Actor) -> Result<bool, Broken> {
    let Some(family) = grants::end(tx, grant_id, reason).await? else { return Ok(false) };
    if let Some(offline) = family.offline_session_id {
        end(tx, offline, reason, actor).await?;
    }
    Ok(true)
}

/// Ends what died by itself, of at most `limit` sessions that may have: dead they were without it, this tells. Returns
/// how many it looked at.
pub async fn end_dead(tx: &mut Tx, limit: i64) -> Result<usize, Broken> {
    let (looked, ended) = session_ends::end_dead(tx, limit).await?;
    tell(tx, ended, Actor::Server, None);
    Ok(usize::try_from(looked).unwrap_or_default())
}

/// Records what was ended, and says how many.
pub(super) fn tell(
    tx: &mut Tx,
    ended: impl IntoIterator<Item = EndedSession>,
    actor: Actor,
    note: Option<&str>,
) -> usize {
    let mut count = 0;
    for session in ended {
        let subject = Subject {
            session_id: Some(session.id),
            session_kind: Some(session.kind),
            user_id: session.user_id,
            client_id: session.client_id,
        };
        let event = Event::done(Action::SessionEnded, actor, subject);
        // As of a lock, the words of who did it by hand; nothing is decided by an event.
        audit::record(
            tx,
            match note {
                Some(note) => event.reason(note).detail(json!({ "end_reason": session.end_reason })),
                None => event.reason(session.end_reason),
            },
        );
        count += 1;
    }
    count
}
