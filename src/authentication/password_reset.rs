//! Links for a forgotten password: who is sent one, and how many.
//!
//! The page only notes what was asked. Everything that depends on the person happens here, in a job. Invariants: a link
//! that was sent stays good until it expires, is used, or the password changes, so nobody can take it from its owner by asking
//! again; and a mailbox that gets no further link has a good one already, or one that wrong codes have killed within a day.

use chrono::TimeDelta;
use serde_json::json;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        password_resets::{self, Asked},
        reset_requests,
    },
    failure::Broken,
    notices::{self, Message},
    risk::Sources,
    unicode::name_key,
};

/// Answers the request whose turn it is, with links that are good for `lifetime`. `false`: none does.
pub async fn answer_next(tx: &mut Tx, sources: &Sources, lifetime: TimeDelta) -> Result<bool, Broken> {
    let Some(request) = reset_requests::take(tx).await? else { return Ok(false) };
    tx.trace = request.trace();
    let asked = password_resets::ask(tx, &request.name, request.asked_at, lifetime).await?;
    if asked.is_empty() {
        let event =
            Event::refused(Action::PasswordResetAsked, Actor::Visitor, Subject::default(), "nobody_to_write_to");
        // As a keyed hash: people type their password there.
        let hashed = sources.hash(&name_key(&request.name));
        audit::record(tx, event.detail(json!({ "account": crate::jose::base64url(&hashed) })));
    }
    for Asked { user_id, link } in asked {
        let subject = Subject { user_id: Some(user_id), ..Subject::default() };
        let Some(reset) = link else {
            audit::record(tx, Event::refused(Action::PasswordResetAsked, Actor::Visitor, subject, "enough_links"));
            continue;
        };
        audit::record(tx, Event::done(Action::PasswordResetAsked, Actor::Visitor, subject));
        notices::tell(tx, user_id, &Message::PasswordResetLink { reset, request: request.request_id }).await?;
    }
    Ok(true)
}
