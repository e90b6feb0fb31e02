//! What a person is told when others guess at their account. Not for what is refused, which the buckets say.

use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{Tx, mails},
    failure::Broken,
    notices::{self, Message},
    risk::Sources,
};

/// The row of failures at an account is as long as it may get. Its person is written to, once a day at most; the same statements
/// are carried out where there is no such person.
pub async fn warn(tx: &mut Tx, sources: &Sources, account: &str, person: Option<Uuid>) -> Result<(), Broken> {
    if !sources.may_warn(tx, account).await? {
        return Ok(());
    }
    let subject = Subject { user_id: person, ..Subject::default() };
    audit::record(tx, Event::refused(Action::SignIn, Actor::Visitor, subject, "too_many_failures"));
    match person {
        Some(user_id) => notices::tell(tx, user_id, &Message::PasswordGuessed).await,
        None => mails::queue(tx, Uuid::nil(), "password_guessed", &json!({})).await.map(drop),
    }
}
