//! WebAuthn ceremonies from question to answer: what was asked is kept, and answered once, by the browser session that was
//! asked, for the authorization request and the person that it was asked for.
//!
//! A refusal is a value: the ceremony is used up, and the trail tells, whatever the answer was. Not for the session that
//! comes of a proof: that is `sessions`' to make, in the same transaction.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

use super::passkey::{Assertion, Enrolee, Enrolled, PATIENCE, Passkeys, Refusal, Verified};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{
        Tx,
        ceremonies::{self, Ceremony, NewCeremony, Purpose},
        credentials::{self, NewPasskey, Passkey},
        sessions::LiveSession,
        users::User,
    },
    failure::Broken,
    notices::{self, Message},
    sessions::{self, Proof},
};

/// How many passkeys somebody may have.
pub const MOST: usize = 20;

/// What goes to the browser.
pub struct Asked {
    pub ceremony: Uuid,
    pub options: Value,
}

/// What came from the browser.
pub struct Answer<'a> {
    pub ceremony: Uuid,
    pub session: &'a LiveSession,
    /// The authorization request of the page that it came from.
    pub request_id: Option<Uuid>,
    /// The `PublicKeyCredential` in JSON.
    pub credential: Value,
}

/// Somebody proved who they are with a passkey.
pub struct Proved {
    pub user: User,
    pub proof: Proof,
    /// Which passkey it was.
    pub passkey: Uuid,
}

/// Asks for a passkey: of `user_id`, or of whoever has one. `None`: that person has none that could be used.
pub async fn ask_for_passkey(
    tx: &mut Tx,
    passkeys: &Passkeys,
    session: &LiveSession,
    request_id: Option<Uuid>,
    user_id: Option<Uuid>,
) -> Result<Option<Asked>, Broken> {
    let allowed: Option<Vec<Value>> = match user_id {
        Some(user_id) => Some(kept(tx, user_id, false).await?),
        None => None,
    };
    if allowed.as_ref().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    let begun = passkeys.begin_sign_in(allowed.as_deref())?;
    let new = NewCeremony {
        session_id: session.id,
        purpose: Purpose::SignIn,
        request_id,
        user_id,
        state: begun.state,
        expires_at: tx.now + patience(),
    };
    Ok(Some(Asked { ceremony: ceremonies::insert(tx, &new).await?, options: begun.options }))
}

/// Verifies the passkey that was asked for. Nobody else's is taken, and a copied one is suspended.
pub async fn take_passkey(
    tx: &mut Tx,
    passkeys: &Passkeys,
    answer: Answer<'_>,
) -> Result<Result<Proved, Refusal>, Broken> {
    let subject = Subject { user_id: None, ..sessions::subject(answer.session) };
    let asked = take(tx, &answer, Purpose::SignIn).await?;
    let taken = match asked {
        Some(asked) => verify(tx, passkeys, &asked, answer.credential).await?,
        None => Err(Refusal::NoCeremony),
    };
    if let Err(refusal) = &taken {
        audit::record(tx, Event::refused(Action::SignIn, Actor::Visitor, subject, refusal.as_str()));
    }
    Ok(taken)
}

async fn verify(
    tx: &mut Tx,
    passkeys: &Passkeys,
    asked: &Ceremony,
    credential: Value,
) -> Result<Result<Proved, Refusal>, Broken> {
    let presented = match Presented::find(tx, credential, asked.user_id).await? {
        Ok(presented) => presented,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Err(refusal) = presented.usable() {
        return Ok(Err(refusal));
    }
    let verified = presented.verify(passkeys, &asked.state)?;
    presented.settle(tx, verified).await
}

/// An assertion with the passkey that it names, which is locked, and whose it is. Not verified yet.
pub(super) struct Presented {
    assertion: Assertion,
    passkey: Passkey,
    user: User,
}

impl Presented {
    /// Finds the passkey of an answer. `wanted`: who must answer; `None`: anybody.
    pub(super) async fn find(
        tx: &mut Tx,
        credential: Value,
        wanted: Option<Uuid>,
    ) -> Result<Result<Self, Refusal>, Broken> {
        let Some(assertion) = Assertion::parse(credential) else { return Ok(Err(Refusal::Malformed)) };
        let Some((passkey, user)) = credentials::lock_by_handle(tx, assertion.handle()).await? else {
            return Ok(Err(Refusal::Unknown));
        };
        // §7.2 step 6: whoever was asked for has this passkey; if nobody was, the authenticator says whose it is.
        let is_theirs = match (wanted, assertion.user_handle()) {
            (Some(wanted), None) => wanted == user.id,
            (Some(wanted), Some(said)) => wanted == user.id && said == user.id.as_bytes(),
            (None, said) => said == Some(user.id.as_bytes().as_slice()),
        };
        Ok(if is_theirs { Ok(Self { assertion, passkey, user }) } else { Err(Refusal::AnotherPersons) })
    }

    pub(super) fn passkey_id(&self) -> Uuid {
        self.passkey.id
    }

    pub(super) fn user_id(&self) -> Uuid {
        self.user.id
    }

    /// Whether the passkey, and its person, may sign in.
    pub(super) fn usable(&self) -> Result<(), Refusal> {
        if self.passkey.suspended_at.is_some() {
            return Err(Refusal::Suspended);
        }
        if self.user.disabled_at.is_some() { Err(Refusal::Disabled) } else { Ok(()) }
    }

    /// Verifies the signature against what was asked; writes nothing.
    pub(super) fn verify(&self, passkeys: &Passkeys, state: &Value) -> Result<Result<Verified, Refusal>, Broken> {
        let kept = self.passkey.passkey.as_ref().ok_or_else(|| Broken::new("a passkey without its key"))?;
        passkeys.verify(state, &self.assertion, kept, self.passkey.attested_at.is_some())
    }

    /// Writes what came of it: the use of the passkey, or that there may be a copy of it.
    pub(super) async fn settle(
        self,
        tx: &mut Tx,
        verified: Result<Verified, Refusal>,
    ) -> Result<Result<Proved, Refusal>, Broken> {
        let Self { passkey, user, .. } = self;
        match verified {
            Ok(verified) => {
                credentials::note_passkey_use(tx, passkey.id, &verified.passkey).await?;
                if verified.lost_attestation {
                    lose_attestation(tx, &user, &passkey).await?;
                }
                Ok(Ok(Proved { user, proof: verified.proof, passkey: passkey.id }))
            }
            Err(Refusal::CounterWentBack) => {
                suspend(tx, &user, &passkey).await?;
                Ok(Err(Refusal::CounterWentBack))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

/// Withdraws a passkey, ends the privileged work that it proved, and tells its person. The caller holds the person. `false`:
/// it was withdrawn before.
pub async fn withdraw(tx: &mut Tx, passkey: &Passkey, actor: Actor, event: Event) -> Result<bool, Broken> {
    if !credentials::end_passkey(tx, passkey.user_id, passkey.id).await? {
        return Ok(false);
    }
    audit::record(tx, event);
    sessions::end_unproved(tx, passkey.user_id, actor).await?;
    notices::tell(tx, passkey.user_id, &Message::PasskeyRemoved { label: passkey.name() }).await?;
    Ok(true)
}

/// Its key can leave its hardware after all: what it proved as hardware counts no more, and it goes on as any other passkey.
async fn lose_attestation(tx: &mut Tx, user: &User, passkey: &Passkey) -> Result<(), Broken> {
    credentials::end_attestation(tx, passkey.id).await?;
    sessions::end_unproved(tx, user.id, Actor::Server).await?;
    let subject = Subject { user_id: Some(user.id), ..Subject::default() };
    let event = Event::done(Action::CredentialDowngraded, Actor::Server, subject).reason("backup_eligible");
    audit::record(tx, event.detail(json!({ "credential": passkey.id, "kind": "passkey" })));
    Ok(())
}

/// There may be a copy of its key: nobody uses it any more, what it may have been used for ends, and its person is told.
async fn suspend(tx: &mut Tx, user: &User, passkey: &Passkey) -> Result<(), Broken> {
    let reason = Refusal::CounterWentBack.as_str();
    if credentials::suspend(tx, passkey.id, reason).await? {
        sessions::end_privileged(tx, user.id, "passkey_suspended", Actor::Server).await?;
        let subject = Subject { user_id: Some(user.id), ..Subject::default() };
        let event = Event::done(Action::CredentialSuspended, Actor::Server, subject).reason(reason);
        audit::record(tx, event.detail(json!({ "credential": passkey.id, "kind": "passkey" })));
        notices::tell(tx, user.id, &Message::PasskeySuspended { label: passkey.name() }).await?;
    }
    Ok(())
}

/// Asks somebody who is signed in for a new passkey. `None`: they have as many as there may be.
pub async fn ask_for_new(
    tx: &mut Tx,
    passkeys: &Passkeys,
    session: &LiveSession,
    user_id: Uuid,
) -> Result<Option<Asked>, Broken> {
    let has = kept(tx, user_id, true).await?;
    if has.len() >= MOST {
        return Ok(None);
    }
    let username = session.username.as_deref().unwrap_or_default();
    let name = session.user_claims.as_ref().and_then(|claims| claims.get("name")?.as_str()).unwrap_or(username);
    let begun = passkeys.begin_enrolment(&Enrolee { user_id, username, name, has: &has })?;
    keep(tx, session, Some(user_id), begun.options, json!({ "registration": begun.state })).await.map(Some)
}

/// Asks somebody for a passkey who is nobody yet: the first administrator, under the name that they chose.
pub async fn ask_for_first(
    tx: &mut Tx,
    passkeys: &Passkeys,
    session: &LiveSession,
    username: &str,
    claims: &Value,
) -> Result<Asked, Broken> {
    let user_id = tx.new_id();
    let begun = passkeys.begin_enrolment(&Enrolee { user_id, username, name: username, has: &[] })?;
    let state = json!({ "registration": begun.state, "user_id": user_id, "username": username, "claims": claims });
    keep(tx, session, None, begun.options, state).await
}

async fn keep(
    tx: &mut Tx,
    session: &LiveSession,
    user_id: Option<Uuid>,
    options: Value,
    state: Value,
) -> Result<Asked, Broken> {
    let new = NewCeremony {
        session_id: session.id,
        purpose: Purpose::Enrol,
        request_id: None,
        user_id,
        state,
        expires_at: tx.now + patience(),
    };
    Ok(Asked { ceremony: ceremonies::insert(tx, &new).await?, options })
}

/// A passkey that was made, and for whom.
pub struct Made {
    pub enrolled: Enrolled,
    /// Nobody yet: the id, name and claims that were chosen when it was asked for.
    pub newcomer: Option<(Uuid, String, Value)>,
}

/// Verifies the new passkey that was asked for; [`add`] keeps it.
pub async fn take_new(tx: &mut Tx, passkeys: &Passkeys, answer: Answer<'_>) -> Result<Result<Made, Refusal>, Broken> {
    let subject = sessions::subject(answer.session);
    let made = match take(tx, &answer, Purpose::Enrol).await? {
        Some(asked) if asked.user_id == answer.session.user_id => {
            let newcomer = asked.state["user_id"].as_str().and_then(|id| id.parse().ok());
            let username = asked.state["username"].as_str().map(str::to_owned);
            let claims = asked.state.get("claims").cloned().unwrap_or_else(|| json!({}));
            let newcomer = newcomer.zip(username).map(|(id, username)| (id, username, claims));
            let enrolled = passkeys.finish_enrolment(&asked.state["registration"], answer.credential)?;
            enrolled.map(|enrolled| Made { enrolled, newcomer })
        }
        _ => Err(Refusal::NoCeremony),
    };
    if let Err(refusal) = &made {
        audit::record(tx, Event::refused(Action::CredentialAdded, Actor::User, subject, refusal.as_str()));
    }
    Ok(made)
}

/// Keeps a new passkey for a person. Of two races for the same one, the first has it.
pub async fn add(
    tx: &mut Tx,
    user_id: Uuid,
    enrolled: &Enrolled,
    label: &str,
    subject: Subject,
) -> Result<Result<Uuid, Refusal>, Broken> {
    credentials::lock_person(tx, user_id).await?;
    let new = NewPasskey {
        user_id,
        handle: &enrolled.handle,
        passkey: &enrolled.passkey,
        label,
        attested: enrolled.attested,
    };
    let has = credentials::load_passkeys(tx, user_id).await?.len();
    let added = if has < MOST { credentials::insert_passkey(tx, &new).await? } else { None };
    let Some(id) = added else {
        let refusal = if has < MOST { Refusal::Enrolled } else { Refusal::Unacceptable };
        audit::record(tx, Event::refused(Action::CredentialAdded, Actor::User, subject, refusal.as_str()));
        return Ok(Err(refusal));
    };
    let event = Event::done(Action::CredentialAdded, Actor::User, subject);
    audit::record(tx, event.detail(json!({ "credential": id, "kind": "passkey", "attested": enrolled.attested })));
    Ok(Ok(id))
}

/// A person's passkeys as they are kept; `suspended`: those too.
async fn kept(tx: &mut Tx, user_id: Uuid, suspended: bool) -> Result<Vec<Value>, Broken> {
    let all = credentials::load_passkeys(tx, user_id).await?;
    Ok(all.into_iter().filter(|it| suspended || it.suspended_at.is_none()).filter_map(|it| it.passkey).collect())
}

/// Uses the ceremony up; it is the one that was asked for, or none.
async fn take(tx: &mut Tx, answer: &Answer<'_>, purpose: Purpose) -> Result<Option<Ceremony>, Broken> {
    let asked = ceremonies::consume(tx, answer.ceremony, answer.session.id, purpose).await?;
    Ok(asked.filter(|asked| asked.request_id == answer.request_id))
}

/// How long a question can be answered.
pub(super) fn patience() -> TimeDelta {
    TimeDelta::from_std(PATIENCE).unwrap_or(TimeDelta::minutes(5))
}
