//! What a person is told when others guess at their password or their codes, once a day at most for each. Not for what is
//! refused, which the buckets say.

use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{Tx, mails},
    failure::Broken,
    notices::{self, Message},
    risk::{Attempt, Gate, Named, Sources},
    sessions,
};

/// The row of failures at an account is as long as it may get. Its person is written to, once a day at most; the same statements
/// are carried out where there is no such person.
pub async fn warn(tx: &mut Tx, sources: &Sources, named: &Named) -> Result<(), Broken> {
    let account = named.person.map_or_else(|| named.key.clone(), |person| person.to_string());
    if !sources.may_warn(tx, Attempt::SignIn, &account).await? {
        return Ok(());
    }
    let subject = Subject { user_id: named.person, ..Subject::default() };
    audit::record(tx, Event::refused(Action::SignIn, Actor::Visitor, subject, "too_many_failures"));
    match named.person {
        Some(user_id) => notices::tell(tx, user_id, &Message::PasswordGuessed).await,
        None => mails::queue(tx, Uuid::nil(), "password_guessed", &json!({})).await.map(drop),
    }
}

/// Counts a code of the person's, in the unit's browser, before it is looked at. Where it is the last one that is looked at for
/// now, the person is written to, whatever comes of it.
pub async fn count_code(tx: &mut Tx, sources: &Sources, user_id: Uuid) -> Result<Gate, Broken> {
    let device = sessions::find_device(tx, user_id).await?;
    let gate = sources.count(tx, Attempt::SecondFactor, &user_id.to_string(), device).await?;
    if let Gate::Open(admitted) = &gate
        && admitted.is_last
    {
        warn_of_codes(tx, sources, user_id).await?;
    }
    Ok(gate)
}

/// As many wrong codes of the person's came as may be.
pub async fn warn_of_codes(tx: &mut Tx, sources: &Sources, user_id: Uuid) -> Result<(), Broken> {
    if !sources.may_warn(tx, Attempt::SecondFactor, &user_id.to_string()).await? {
        return Ok(());
    }
    let subject = Subject { user_id: Some(user_id), ..Subject::default() };
    let event = Event::refused(Action::SignIn, Actor::Visitor, subject, "too_many_failures");
    audit::record(tx, event.detail(json!({ "factor": "code" })));
    notices::tell(tx, user_id, &Message::CodesGuessed).await
}
