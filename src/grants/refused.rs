//! What is told of somebody who holds a genuine code or refresh token, and not what belongs to it: a thief's first try looks so.

use super::Exchange;
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::Client,
    db::Outcome,
    failure::Failure,
};

/// Tells the refusal in the trail of the session that the credential hangs on, with the client that presented it. Nothing is
/// changed by it. What is forged is not told: anybody could fill the trail with that.
pub(super) async fn tell_refused(
    exchange: &Exchange<'_>,
    action: Action,
    subject: Subject,
    presented_by: &Client,
    failure: &Failure,
) -> Outcome<()> {
    let Failure::Refused(error) = failure else { return Ok(()) };
    let reason = error.detail.as_deref().unwrap_or(error.code.as_str());
    let event = Event::refused(action, Actor::Client, subject, reason);
    exchange
        .db
        .single(exchange.now, exchange.trace, async |tx| {
            audit::record(tx, event.detail(serde_json::json!({ "by": presented_by.id })));
            Ok(())
        })
        .await
}
