//! Visitor sessions: they begin with the first interactive request, before anybody is known.

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config,
    db::{
        Tx,
        sessions::{self, LiveSession, NewSession},
    },
    failure::Broken,
    oauth::Acr,
};

/// Starts a visitor session; its cookie has generation 0.
pub async fn start_visitor(tx: &mut Tx, limits: &config::Sessions) -> Result<LiveSession, Broken> {
    let new = NewSession {
        kind: "visitor",
        parent_id: None,
        visitor_id: None,
        user_id: None,
        client_id: None,
        acr: Acr::Visitor.as_str(),
        amr: &[],
        auth_time: None,
        epoch: 0,
        idle_timeout: Some(limits.idle),
        expires_at: tx.now + limits.absolute,
        proved_with: &[],
    };
    let id = sessions::insert(tx, &new).await?;
    let subject = Subject { session_id: Some(id), session_kind: Some("visitor".into()), ..Subject::default() };
    audit::record(tx, Event::done(Action::SessionStarted, Actor::Visitor, subject));
    Ok(LiveSession {
        id,
        kind: new.kind.to_owned(),
        root_id: id,
        visitor_id: None,
        user_id: None,
        secret_generation: 0,
        acr: new.acr.to_owned(),
        amr: Vec::new(),
        auth_time: None,
        expires_at: new.expires_at,
        epoch: new.epoch,
        created_at: tx.now,
        last_seen_at: tx.now,
        username: None,
        user_claims: None,
        admin_at: None,
        proved_with: None,
        has_lost_proof: false,
        losses: 0,
    })
}
