//! The audit trail: what happened to which session, by whom.
//!
//! [`Event`] is the closed list of what can be told; [`record`] hands one to the unit of work, which writes it in the
//! transaction of the change it tells. Not for logs: a log line may be lost, an event may not.

mod event;
mod export;

pub use event::{Action, Actor, Event, Subject};
pub use export::{ExportFilter, count_held_back, export, settle};

use uuid::Uuid;

use crate::{
    db::{Tx, audit_events},
    failure::Broken,
};

pub use crate::db::audit_events::ExportedEvent;

/// The longest timeline that is shown.
const TIMELINE: i64 = 1000;

/// Records an event with the change that it tells.
pub fn record(tx: &mut Tx, event: Event) {
    tx.record(event.into_row());
}

/// What happened in a session, in order; of a very long story the newest thousand events.
pub async fn timeline(tx: &mut Tx, session_id: Uuid) -> Result<Vec<ExportedEvent>, Broken> {
    audit_events::load_timeline(tx, session_id, TIMELINE).await
}
