//! Visitor sessions: they begin with the first interactive request, before anybody is known.

use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx,
        sessions::{self, NewSession},
    },
    failure::Broken,
    oauth::Acr,
};

/// Starts a visitor session; its cookie has generation 0.
pub async fn start_visitor(tx: &mut Tx, limits: &config::Sessions) -> Result<Uuid, Broken> {
    let new = NewSession {
        kind: "visitor",
        visitor_id: None,
        user_id: None,
        client_id: None,
        acr: Acr::Visitor.as_str(),
        amr: &[],
        auth_time: None,
        epoch: 0,
        idle_timeout: Some(limits.idle),
        expires_at: tx.now + limits.absolute,
    };
    let id = sessions::insert(tx, &new).await?;
    let subject = Subject { session_id: Some(id), session_kind: Some("visitor".into()), ..Subject::default() };
    audit::record(tx, Event::done(Action::SessionStarted, Actor::Visitor, subject));
    Ok(id)
}
