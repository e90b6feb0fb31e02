//! A sign-in with a passkey in a browser for which nothing may be stored, because too many visits began at its address.
//!
//! The browser carries the question: the challenge and its expiry, with a tag that only this server can make. The tag covers a
//! cookie of the same browser, so nobody can make another person's browser answer for them (login CSRF), and the issuer, so
//! that a server with the same master secret and another address does not accept it.
//!
//! Invariants: nothing is written before the signature of a passkey is verified, but for one counter for each passkey that
//! exists; each question is answered once.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ceremony::{self, Presented, Proved},
    passkey::{Passkeys, Refusal},
};
use crate::{
    audit::{self, Action, Actor, Event},
    db::{Tx, sessions::LiveSession, used_jtis},
    failure::Broken,
    jose::{Key256, base64url, from_base64url, sha256},
    risk::Sources,
    sessions,
};

/// Makes questions and reads them again; one for the server.
pub struct StatelessCeremonies {
    key: Key256,
    issuer: String,
}

/// A question for a browser.
pub struct Question {
    /// What the browser sends with its answer.
    pub text: String,
    /// `PublicKeyCredentialRequestOptions` in JSON (WebAuthn §5.5).
    pub options: Value,
}

/// A genuine question that a browser sent back before it expired.
pub struct Carried {
    state: Value,
    id: [u8; 32],
}

/// What a browser sent back.
pub struct Answer<'a> {
    pub question: &'a Carried,
    /// The `PublicKeyCredential` in JSON.
    pub credential: Value,
    /// The session of the browser, if it has a live one; for the event of a refusal.
    pub session: Option<&'a LiveSession>,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Passkey(Refusal),
    /// Too many answers for this passkey were wrong; the next one is verified after so many seconds.
    TooMany(u32),
}

#[derive(Serialize, Deserialize)]
struct Content {
    state: Value,
    expires_at: i64,
}

impl StatelessCeremonies {
    #[must_use]
    pub fn new(key: Key256, issuer: &str) -> Self {
        Self { key, issuer: issuer.to_owned() }
    }

    /// Asks the browser with the cookie `browser` for any passkey.
    pub fn ask(&self, passkeys: &Passkeys, browser: &str, now: DateTime<Utc>) -> Result<Question, Broken> {
        let begun = passkeys.begin_sign_in(None)?;
        let content = Content { state: begun.state, expires_at: (now + ceremony::patience()).timestamp() };
        let content = serde_json::to_string(&content)
            .map_err(|error| Broken::new(format_args!("write a question for a passkey: {error}")))?;
        let tag = self.key.mac(&self.parts(b"question", &[browser, &content]));
        let text = format!("{}.{}", base64url(&tag), base64url(content.as_bytes()));
        Ok(Question { text, options: begun.options })
    }

    /// Reads a question that the browser with the cookie `browser` sent back. `None`: it is not genuine, was made for another
    /// browser, or has expired.
    #[must_use]
    pub fn read(&self, text: &str, browser: &str, now: DateTime<Utc>) -> Option<Carried> {
        let (tag, content) = text.split_once('.')?;
        let content = String::from_utf8(from_base64url(content)?).ok()?;
        let is_genuine = self.key.verify(&self.parts(b"question", &[browser, &content]), &from_base64url(tag)?);
        let read: Content = serde_json::from_str(&content).ok().filter(|_| is_genuine)?;
        let carried = Carried { state: read.state, id: sha256(&[content.as_bytes()]) };
        (now.timestamp() < read.expires_at).then_some(carried)
    }

    /// An address of this server, with a tag: the sign-in leads there, and a page cannot name another.
    #[must_use]
    pub fn mark(&self, address: &str) -> String {
        format!("{}.{address}", base64url(&self.key.mac(&self.parts(b"address", &[address]))))
    }

    /// The address that [`Self::mark`] has marked.
    #[must_use]
    pub fn address<'a>(&self, marked: &'a str) -> Option<&'a str> {
        let (tag, address) = marked.split_once('.')?;
        self.key.verify(&self.parts(b"address", &[address]), &from_base64url(tag)?).then_some(address)
    }

    fn parts<'a>(&'a self, what: &'a [u8], texts: &[&'a str]) -> Vec<&'a [u8]> {
        [what, self.issuer.as_bytes()].into_iter().chain(texts.iter().map(|text| text.as_bytes())).collect()
    }
}

/// Verifies the answer to a question.
pub async fn take_passkey(
    tx: &mut Tx,
    passkeys: &Passkeys,
    sources: &Sources,
    answer: Answer<'_>,
) -> Result<Result<Proved, Refused>, Broken> {
    let presented = match Presented::find(tx, answer.credential, None).await? {
        Ok(presented) => presented,
        Err(refusal) => return Ok(Err(Refused::Passkey(refusal))),
    };
    // The passkey is locked: answers sent at once are verified, and counted, one after the other.
    let passkey = presented.passkey_id().to_string();
    if let Some(seconds) = sources.wait_for_passkey(tx, &passkey).await? {
        return Ok(Err(Refused::TooMany(seconds)));
    }
    let taken = verify(tx, passkeys, answer.question, presented, answer.session).await?;
    if taken.is_err() {
        sources.count_wrong_passkey(tx, &passkey).await?;
    }
    Ok(taken.map_err(Refused::Passkey))
}

async fn verify(
    tx: &mut Tx,
    passkeys: &Passkeys,
    carried: &Carried,
    presented: Presented,
    session: Option<&LiveSession>,
) -> Result<Result<Proved, Refusal>, Broken> {
    let verified = presented.verify(passkeys, &carried.state)?;
    // Only a genuine signature has a counter that can go back.
    if let Err(refusal) = &verified
        && *refusal != Refusal::CounterWentBack
    {
        return Ok(Err(*refusal));
    }
    let mut subject = session.map(sessions::subject).unwrap_or_default();
    subject.user_id = Some(presented.user_id());
    let is_first = used_jtis::consume(tx, used_jtis::NO_CLIENT, &carried.id).await?;
    let taken = match presented.usable() {
        _ if !is_first => Err(Refusal::NoCeremony),
        Err(refusal) => Err(refusal),
        Ok(()) => presented.settle(tx, verified).await?,
    };
    if let Err(refusal) = &taken {
        audit::record(tx, Event::refused(Action::SignIn, Actor::Visitor, subject, refusal.as_str()));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        jose::{MasterSecret, Purpose},
        oauth::hostile,
    };

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn of(issuer: &str) -> StatelessCeremonies {
        let master = MasterSecret::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        StatelessCeremonies::new(master.derive(Purpose::PasskeyQuestions), issuer)
    }

    fn question(ceremonies: &StatelessCeremonies, browser: &str, content: &str) -> String {
        let tag = ceremonies.key.mac(&ceremonies.parts(b"question", &[browser, content]));
        format!("{}.{}", base64url(&tag), base64url(content.as_bytes()))
    }

    #[test]
    fn a_question_is_for_one_browser_issuer_and_time() {
        let own = of("https://id.example");
        let text = question(&own, "browser", "{\"state\":{},\"expires_at\":300}");
        let at = |seconds| NOW + chrono::TimeDelta::seconds(seconds);
        assert!(own.read(&text, "browser", at(299)).is_some());
        assert!(own.read(&text, "browser", at(300)).is_none());
        assert!(own.read(&text, "other", NOW).is_none() && own.read(&text, "", NOW).is_none());
        assert!(of("https://id.example:8443").read(&text, "browser", NOW).is_none());
        // What is marked is no question, and the other way round.
        assert!(own.address(&text).is_none());
        assert!(own.read(&own.mark("e30"), "", NOW).is_none());
    }

    #[test]
    fn only_marked_addresses_count() {
        let own = of("https://id.example");
        let marked = own.mark("https://id.example/login?a=b.c");
        assert_eq!(own.address(&marked), Some("https://id.example/login?a=b.c"));
        assert!(of("https://other.example").address(&marked).is_none());
        let (tag, _) = marked.split_once('.').unwrap();
        for other in ["https://evil.example/", "//evil.example", "", "https://id.example/login?a=b"] {
            assert!(own.address(&format!("{tag}.{other}")).is_none(), "{other}");
            assert!(own.address(other).is_none() && own.address(&format!(".{other}")).is_none(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_question(text in hostile::text(), at in 0..60_usize, by in 1..=127_u8) {
            let own = of("https://id.example");
            prop_assert!(own.read(&text, &text, NOW).is_none() && own.address(&text).is_none());
            let genuine = question(&own, "browser", "{\"state\":{},\"expires_at\":300}");
            let mut octets = genuine.into_bytes();
            octets[at] ^= by;
            let changed = String::from_utf8_lossy(&octets).into_owned();
            prop_assert!(own.read(&changed, "browser", NOW).is_none());
        }
    }
}
