//! The code after a password, where the person has an authenticator app: asked of the browser that gave the password, for the
//! request that it was given for.
//!
//! A right password alone makes no session then. Invariants: a code counts only while the person is who they were when the
//! password fitted (same password, same epoch, not disabled), and only so many are looked at.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    recovery::RecoveryCodes,
    totp::{Authenticators, Taken, is_code},
};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        ceremonies::{self, NewCeremony, Purpose},
        second_factors::{self as rows, Guess},
        sessions::LiveSession,
        totp,
        users::User,
    },
    failure::Broken,
    jose::{base64url, constant_time_eq, sha256},
    notices::{self, Message},
    sessions::{self, Proof},
};

/// How long somebody has for it.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// How many codes are looked at after one password.
const GUESSES: i32 = 5;
/// How long a second submit of the same form gets what the first got.
const DOUBLE_SUBMIT: TimeDelta = TimeDelta::seconds(10);

/// What checks codes.
pub struct Codes {
    pub authenticators: Authenticators,
    pub recovery: RecoveryCodes,
}

/// A password that fitted.
pub struct Fitted<'a> {
    pub user: &'a User,
    /// The stored hash that it fitted.
    pub phc: &'a str,
    /// The authorization request that it was given for.
    pub request_id: Option<Uuid>,
    /// Else the page of our own that it was given for.
    pub confirm: Option<&'a str>,
}

/// Whether the person is asked for a code after their password.
pub async fn is_asked_of(tx: &mut Tx, user_id: Uuid) -> Result<bool, Broken> {
    Ok(totp::find(tx, user_id).await?.is_some())
}

/// Asks for a code. `None`: the person has no authenticator, and the password is all.
pub async fn ask(tx: &mut Tx, session_id: Uuid, fitted: &Fitted<'_>) -> Result<Option<Uuid>, Broken> {
    if !is_asked_of(tx, fitted.user.id).await? {
        return Ok(None);
    }
    let state = json!({
        "guesses": 0, "epoch": fitted.user.session_epoch, "password": fingerprint(fitted.phc), "confirm": fitted.confirm,
    });
    let new = NewCeremony {
        session_id,
        purpose: Purpose::SecondFactor,
        request_id: fitted.request_id,
        user_id: Some(fitted.user.id),
        state,
        expires_at: tx.now + PATIENCE,
    };
    ceremonies::insert(tx, &new).await.map(Some)
}

/// What came of a code.
pub enum Answer {
    /// It is them, by this proof, with these credentials: the caller makes the session and calls [`note`].
    Right(Box<User>, Proof, [Uuid; 2]),
    Wrong,
    /// It was one too many: the password has to be given again.
    Over,
    /// There is no such question any more: answered, too old, or the person has changed since.
    Gone,
}

/// Looks at a code. The caller commits, whatever comes of it.
pub async fn take(
    tx: &mut Tx,
    codes: &Codes,
    ceremony: Uuid,
    session: &LiveSession,
    typed: &str,
) -> Result<Answer, Broken> {
    let Some(guess) = rows::count_guess(tx, ceremony, session.id).await? else { return Ok(Answer::Gone) };
    let Some((user, password)) = still_them(tx, &guess).await? else {
        rows::settle(tx, ceremony, &json!({ "void": true })).await?;
        refuse(tx, session, guess.user_id, "person_changed");
        return Ok(Answer::Gone);
    };
    match codes.take(tx, user.id, typed).await? {
        Code::Right(proof, code) => Ok(Answer::Right(Box::new(user), proof, [password, code])),
        Code::Wrong(reason) => {
            refuse(tx, session, Some(user.id), reason);
            if guess.guesses < GUESSES {
                return Ok(Answer::Wrong);
            }
            rows::settle(tx, ceremony, &json!({})).await?;
            notices::tell(tx, user.id, &Message::CodesGuessed).await?;
            Ok(Answer::Over)
        }
    }
}

/// Uses the question up, and keeps for a moment which session came of this code.
pub async fn note(tx: &mut Tx, ceremony: Uuid, user: &User, typed: &str, session_id: Uuid) -> Result<(), Broken> {
    let outcome = json!({ "answer": answer_of(ceremony, user.id, typed), "became": session_id });
    rows::settle(tx, ceremony, &outcome).await
}

/// A question that was just answered rightly.
pub struct Answered {
    ceremony: Uuid,
    /// Who answered it.
    pub user_id: Uuid,
    answer: String,
    became: Uuid,
    pub question: Guess,
}

impl Answered {
    /// The session that came of it, for whoever sends the same again.
    #[must_use]
    pub fn became(&self, typed: &str) -> Option<Uuid> {
        let again = answer_of(self.ceremony, self.user_id, typed);
        constant_time_eq(self.answer.as_bytes(), again.as_bytes()).then_some(self.became)
    }
}

/// What the session `asked` was asked, if that was answered just before.
pub async fn find_answered(tx: &mut Tx, ceremony: Uuid, asked: Uuid) -> Result<Option<Answered>, Broken> {
    let after = tx.now - DOUBLE_SUBMIT;
    let Some(question) = rows::find_settled(tx, ceremony, asked, after).await? else { return Ok(None) };
    let text = |member: &str| question.state.get(member).and_then(Value::as_str).map(str::to_owned);
    let became = text("became").and_then(|id| id.parse().ok());
    let (Some(answer), Some(became), Some(user_id)) = (text("answer"), became, question.user_id) else {
        return Ok(None);
    };
    Ok(Some(Answered { ceremony, user_id, answer, became, question }))
}

/// What came of a code by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// After a password it makes this proof, with this credential.
    Right(Proof, Uuid),
    /// With a stable reason for the trail.
    Wrong(&'static str),
}

impl Codes {
    /// Takes a code of the person's app, or a recovery code in its place, and uses it up.
    pub async fn take(&self, tx: &mut Tx, user_id: Uuid, typed: &str) -> Result<Code, Broken> {
        if is_code(typed).is_some() {
            let Some(authenticator) = totp::find(tx, user_id).await? else {
                return Ok(Code::Wrong("no_authenticator"));
            };
            return Ok(match self.authenticators.take(tx, &authenticator, typed).await? {
                Taken::Yes => Code::Right(Proof::PASSWORD_AND_CODE, authenticator.id),
                Taken::No => Code::Wrong("wrong_code"),
                Taken::Again => Code::Wrong("code_replayed"),
            });
        }
        let Some((id, left)) = self.recovery.take(tx, user_id, typed).await? else {
            return Ok(Code::Wrong("wrong_code"));
        };
        let subject = Subject { user_id: Some(user_id), ..Subject::default() };
        let event = Event::done(Action::RecoveryCodeUsed, Actor::User, subject);
        audit::record(tx, event.detail(json!({ "left": left })));
        notices::tell(tx, user_id, &Message::RecoveryCodeUsed { left }).await?;
        Ok(Code::Right(Proof::PASSWORD_AND_RECOVERY_CODE, id))
    }
}

/// The person and the id of their password, if they are who they were when it fitted. Holds the password.
async fn still_them(tx: &mut Tx, guess: &Guess) -> Result<Option<(User, Uuid)>, Broken> {
    let Some(user_id) = guess.user_id else { return Ok(None) };
    let Some((user, Some((password, phc)))) = rows::hold_person(tx, user_id).await? else { return Ok(None) };
    let same = guess.state["password"].as_str() == Some(fingerprint(&phc).as_str())
        && guess.state["epoch"].as_i64() == Some(i64::from(user.session_epoch))
        && user.disabled_at.is_none();
    Ok(same.then_some((user, password)))
}

fn refuse(tx: &mut Tx, session: &LiveSession, user_id: Option<Uuid>, reason: &'static str) {
    let subject = Subject { user_id, ..sessions::subject(session) };
    let event = Event::refused(Action::SignIn, Actor::Visitor, subject, reason);
    audit::record(tx, event.detail(json!({ "factor": "code" })));
}

/// Tells one stored hash from another.
fn fingerprint(phc: &str) -> String {
    base64url(&sha256(&[phc.as_bytes()]))
}

/// Of what was typed; it is used up, and worth nothing.
fn answer_of(ceremony: Uuid, user_id: Uuid, typed: &str) -> String {
    base64url(&sha256(&[ceremony.as_bytes(), user_id.as_bytes(), typed.trim().as_bytes()]))
}
