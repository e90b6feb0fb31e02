//! The audit trail: what happened to which session, by whom.
//!
//! [`Event`] is the closed list of what can be told; [`record`] hands one to the unit of work, which writes it in the
//! transaction of the change it tells. Not for logs: a log line may be lost, an event may not.

mod event;
mod export;

pub use event::{Action, Actor, Event, Subject};
pub use export::{ExportFilter, export};

use crate::db::Tx;

/// Records an event with the change that it tells.
pub fn record(tx: &mut Tx, event: Event) {
    tx.record(event.into_row());
}
