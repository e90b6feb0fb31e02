//! Mail to people: what is said ([`Message`]), how it reads (`letter`), and how it leaves ([`Mailer`]).
//!
//! A mail is queued by the transaction that makes it so, and sent by a job. Invariants: no secret is in the outbox, a
//! one-time link is derived when it leaves; what is sent, given up or cannot be sent is an event.

mod folder;
mod letter;
mod mailer;
mod message;
mod transport;

use serde_json::json;
use uuid::Uuid;

pub use letter::Letters;
pub use mailer::Mailer;
pub use message::Message;
pub use transport::Transport;

/// Whether mail can be sent to a text.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

use super::{Attempt, retry};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        mails::{self, DueMail},
        notices,
    },
    failure::Broken,
    jose::random_bytes,
};

/// Tells a person, once the caller's transaction has committed. Whoever has no address gets nothing, which is an event.
pub async fn tell(tx: &mut Tx, user_id: Uuid, message: &Message<'_>) -> Result<(), Broken> {
    let template = message.template();
    let detail = message.detail(&tx.trace);
    if !mails::queue(tx, user_id, &template, &detail).await? {
        let subject = Subject { user_id: Some(user_id), ..Subject::default() };
        let event = Event::refused(Action::NoticeSkipped, Actor::Server, subject, "no_email_address");
        audit::record(tx, event.detail(json!({ "kind": "mail", "template": template })));
    }
    Ok(())
}

/// Notes what came of a try.
pub async fn settle(tx: &mut Tx, mail: &DueMail, attempt: &Attempt) -> Result<(), Broken> {
    match attempt {
        Attempt::Delivered => {
            audit::record(tx, event(mail, Action::NoticeDelivered, None));
            notices::deliver(tx, mail.id).await?;
        }
        Attempt::Skipped { reason, why } => {
            audit::record(tx, event(mail, Action::NoticeSkipped, Some(reason)));
            notices::abandon(tx, mail.id, why).await?;
            tracing::warn!(mail = %mail.id, template = mail.template, why, "a mail was not sent");
        }
        Attempt::Failed(why) if retry::is_over(mail.created_at, tx.now) => {
            audit::record(tx, event(mail, Action::NoticeAbandoned, Some("retries_exhausted")));
            notices::abandon(tx, mail.id, why).await?;
            tracing::warn!(mail = %mail.id, template = mail.template, why, "a mail was given up");
        }
        Attempt::Failed(why) => {
            let [dice] = random_bytes::<1>();
            let due_at = tx.now + retry::pause(mail.attempts, dice);
            notices::postpone(tx, mail.id, due_at, why).await?;
            tracing::info!(mail = %mail.id, template = mail.template, why, "a mail was not taken");
        }
    }
    Ok(())
}

fn event(mail: &DueMail, action: Action, refused: Option<&str>) -> Event {
    let subject = Subject { user_id: Some(mail.user_id), ..Subject::default() };
    let event = match refused {
        None => Event::done(action, Actor::Server, subject),
        Some(reason) => Event::refused(action, Actor::Server, subject, reason),
    };
    event.detail(json!({ "kind": "mail", "template": mail.template, "attempts": mail.attempts }))
}
