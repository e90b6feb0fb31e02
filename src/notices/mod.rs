//! What others must be told: an outbox, delivered by a job.
//!
//! A logout is queued by the statement that ends a session (`db::session_ends`), so no way of ending can forget one. Here
//! it is delivered: the party's registration is read when it goes out, not when it was queued. Invariant: each notice is
//! delivered at least once, or given up or skipped with an event; whoever is slow or away holds up nobody else.

mod backchannel_logout;
pub mod mail;
mod retry;

use serde_json::json;

pub use backchannel_logout::{Attempt, attempt};
pub use mail::{Mailer, Message, tell};

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        notices::{self, DueNotice},
    },
    failure::Broken,
    jose::random_bytes,
    metrics,
};

/// Notes what came of a try.
pub async fn settle(tx: &mut Tx, notice: &DueNotice, attempt: &Attempt) -> Result<(), Broken> {
    match attempt {
        Attempt::Delivered => {
            audit::record(tx, event(notice, Action::NoticeDelivered, None));
            notices::deliver(tx, notice.id).await?;
            metrics::notice("delivered");
        }
        Attempt::Skipped { reason, why } => {
            audit::record(tx, event(notice, Action::NoticeSkipped, Some(reason)));
            notices::abandon(tx, notice.id, why).await?;
            metrics::notice("skipped");
            tracing::warn!(client = notice.client.client_id, session = %notice.session_id, why, "a notice was skipped");
        }
        Attempt::Failed(why) if retry::is_over(notice.created_at, tx.now) => {
            audit::record(tx, event(notice, Action::NoticeAbandoned, Some("retries_exhausted")));
            notices::abandon(tx, notice.id, why).await?;
            metrics::notice("abandoned");
            tracing::warn!(client = notice.client.client_id, session = %notice.session_id, why, "a notice was given up");
        }
        Attempt::Failed(why) => {
            let [dice] = random_bytes::<1>();
            let due_at = tx.now + retry::pause(notice.attempts, dice);
            notices::postpone(tx, notice.id, due_at, why).await?;
            metrics::notice("failed");
            tracing::info!(client = notice.client.client_id, session = %notice.session_id, why, "a notice was not taken");
        }
    }
    Ok(())
}

fn event(notice: &DueNotice, action: Action, refused: Option<&str>) -> Event {
    let subject = Subject {
        session_id: Some(notice.session_id),
        session_kind: Some(notice.session_kind.clone()),
        user_id: notice.user_id,
        client_id: Some(notice.client.client_id.clone()),
    };
    let event = match refused {
        None => Event::done(action, Actor::Server, subject),
        Some(reason) => Event::refused(action, Actor::Server, subject, reason),
    };
    event.detail(json!({ "kind": "backchannel_logout", "attempts": notice.attempts }))
}
