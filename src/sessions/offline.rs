//! Offline sessions: what `offline_access` hangs on, so that sign-out leaves it alone and an operator can still end it.

use uuid::Uuid;

use super::end::end_beyond;
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx,
        authorization_codes::Code,
        sessions::{self, NewSession},
    },
    failure::Broken,
};

/// Starts the offline session of a code that is being redeemed. The origin is locked and checked again, so that ending
/// it at this moment leaves nothing behind. `None` when it has ended.
pub async fn start_offline(tx: &mut Tx, code: &Code, limits: &config::Sessions) -> Result<Option<Uuid>, Broken> {
    if !sessions::lock_open(tx, code.session_id).await? {
        return Ok(None);
    }
    let amr: Vec<&str> = code.amr.iter().map(String::as_str).collect();
    let new = NewSession {
        kind: "offline",
        parent_id: None,
        visitor_id: Some(code.root_id),
        user_id: code.user_id,
        client_id: Some(&code.client_id),
        acr: &code.acr,
        amr: &amr,
        auth_time: code.auth_time,
        epoch: code.session_epoch,
        idle_timeout: None,
        expires_at: tx.now + limits.offline_absolute,
        proved_with: code.proved_with.as_deref().unwrap_or_default(),
    };
    let id = sessions::insert(tx, &new).await?;
    let subject = Subject {
        session_id: Some(id),
        session_kind: Some("offline".into()),
        user_id: code.user_id,
        client_id: Some(code.client_id.clone()),
    };
    let event = Event::done(Action::SessionStarted, Actor::User, subject);
    audit::record(tx, event.detail(serde_json::json!({ "origin": code.root_id })));
    if let Some(user_id) = code.user_id {
        end_beyond(tx, user_id, "offline", limits.per_person).await?;
    }
    Ok(Some(id))
}
