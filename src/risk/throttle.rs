//! Throttling of guesses, per (account, source) and per source; of codes and mail, per account too.
//!
//! Leaky buckets in PostgreSQL, so that every replica counts in the same ones. A sign-in is counted before its password
//! is looked at and forgiven when it fits, so that guesses made at once do not slip through. A client's secret is random
//! and cannot be guessed, so only failures are counted, which keeps a good call at one statement; what is slowed down
//! there is noise. Nobody's account is locked for everybody because somebody guesses at its password.

use crate::{
    db::{Tx, throttles, work_reports},
    failure::Broken,
    jose::Key256,
    oauth::{Error, ErrorCode},
};

/// What is guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    SignIn,
    ClientSecret,
    /// An initial access token, or a registration access token.
    RegistrationToken,
    /// The code after a password.
    SecondFactor,
    /// No guess, but a mail to somebody.
    PasswordReset,
}

impl Attempt {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::SignIn => b"sign-in",
            Self::ClientSecret => b"client-secret",
            Self::RegistrationToken => b"registration-token",
            Self::SecondFactor => b"second-factor",
            Self::PasswordReset => b"password-reset",
        }
    }

    /// (failures that fit, how many leak a second) of the bucket of one account and source, then of one source.
    fn limits(self) -> [(f64, f64); 2] {
        match self {
            // Ten guesses, then one every 30 s; 40 from one source, then one every 2 s: many people share an address, and
            // attempts whose password is being checked count until it fits.
            Self::SignIn | Self::SecondFactor => [(10.0, 1.0 / 30.0), (40.0, 0.5)],
            Self::ClientSecret | Self::RegistrationToken => [(10.0, 1.0 / 10.0), (60.0, 1.0)],
            Self::PasswordReset => [(5.0, 1.0 / 300.0), (30.0, 1.0 / 10.0)],
        }
    }

    /// The same for the account, from wherever it comes.
    fn limit_of_account(self) -> Option<(f64, f64)> {
        match self {
            Self::SignIn | Self::ClientSecret | Self::RegistrationToken => None,
            // A code has six digits, and who guesses at it knows the password: 288 guesses a day are one in a thousand. Whoever
            // is kept out by it has something to change.
            Self::SecondFactor => Some((15.0, 1.0 / 300.0)),
            // What a mailbox can bear.
            Self::PasswordReset => Some((10.0, 1.0 / 600.0)),
        }
    }
}

/// May the attempt go on?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Yes; forgive these buckets if it was genuine.
    Open(Vec<Vec<u8>>),
    /// Not before so many seconds.
    Closed(u32),
}

impl Gate {
    /// The buckets; or refuses what is too much, in these words, until there is room again.
    pub fn or_later(self, description: &'static str) -> Result<Vec<Vec<u8>>, Error> {
        match self {
            Self::Open(buckets) => Ok(buckets),
            Self::Closed(seconds) => {
                Err(Error::new(ErrorCode::TemporarilyUnavailable, description).retry_after(seconds))
            }
        }
    }
}

/// So many at once, and so many a second.
type Limit = (f64, f64);

/// From one source.
const STRANGERS: Limit = (1000.0, 10.0);
/// Of one client that has shown who it is: it asks for all its people from one place.
const PUSHES: Limit = (5000.0, 200.0);
/// Of one resource server: what it reports is kept for ever.
const REPORTS: Limit = (2000.0, 100.0);

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of seconds")]
fn seconds(wait: f64) -> u32 {
    wait.ceil().clamp(1.0, 3600.0) as u32
}

/// Turns accounts and sources into bucket keys.
pub struct Sources(Key256);

impl Sources {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    /// The keyed hash under which an address or agent is kept.
    #[must_use]
    pub fn hash(&self, text: &str) -> Vec<u8> {
        self.0.mac(&[text.as_bytes()]).to_vec()
    }

    /// Counts an attempt at `account` from `source` (a keyed hash) and says whether it may go on.
    pub async fn count(&self, tx: &mut Tx, attempt: Attempt, account: &str, source: &[u8]) -> Result<Gate, Broken> {
        let [of_account, of_source] = attempt.limits();
        let mut buckets = vec![
            (self.0.mac(&[attempt.as_bytes(), account.as_bytes(), source]).to_vec(), of_account),
            (self.0.mac(&[attempt.as_bytes(), source]).to_vec(), of_source),
        ];
        if let Some(limit) = attempt.limit_of_account() {
            buckets.push((self.0.mac(&[b"account", attempt.as_bytes(), account.as_bytes()]).to_vec(), limit));
        }
        buckets.sort_by(|one, other| one.0.cmp(&other.0));
        let keys: Vec<_> = buckets.iter().map(|(key, _)| key.clone()).collect();
        let leak: Vec<f64> = buckets.iter().map(|(_, (_, leak))| *leak).collect();
        let levels = throttles::add(tx, &keys, &leak).await?;
        let wait = levels
            .iter()
            .zip(&buckets)
            .filter(|(level, (_, (size, _)))| **level > *size)
            .map(|(level, (_, (size, leak)))| (level - size) / leak)
            .fold(0.0, f64::max);
        if wait > 0.0 {
            // A refused attempt is not a guess: counting it too would keep an eager person out for ever.
            throttles::forgive(tx, &keys).await?;
            return Ok(Gate::Closed(seconds(wait)));
        }
        Ok(Gate::Open(keys))
    }

    /// Counts a stranger who is about to be remembered (a visitor session, a waiting request) from `source`. A crowd behind
    /// one address passes; somebody who fills the disk does not.
    pub async fn count_stranger(&self, tx: &mut Tx, source: &[u8]) -> Result<Gate, Broken> {
        pass(tx, self.0.mac(&[b"stranger", source]).to_vec(), STRANGERS).await
    }

    /// Counts a request that an authenticated client pushes (RFC 9126 §2.3: 429).
    pub async fn count_push(&self, tx: &mut Tx, client_id: &str) -> Result<Gate, Broken> {
        pass(tx, self.0.mac(&[b"push", client_id.as_bytes()]).to_vec(), PUSHES).await
    }

    /// Writes the unit's event, a report of this client, if there is room for it.
    pub async fn admit_report(&self, tx: &mut Tx, client_id: &str) -> Result<Gate, Broken> {
        let (size, leak) = REPORTS;
        let key = self.0.mac(&[b"report", client_id.as_bytes()]).to_vec();
        let over = work_reports::insert_within(tx, &key, size, leak).await?;
        Ok(if over > 0.0 { Gate::Closed(seconds(over / leak)) } else { Gate::Open(Vec::new()) })
    }

    /// Counts a client that is about to register itself from `source`, which may do so `an_hour` times an hour. What comes
    /// of it counts all the same: a refused registration has made us read, and perhaps fetch.
    pub async fn count_registration(&self, tx: &mut Tx, source: &[u8], an_hour: u32) -> Result<Gate, Broken> {
        let limit = (f64::from(an_hour), f64::from(an_hour) / 3600.0);
        pass(tx, self.0.mac(&[b"registration", source]).to_vec(), limit).await
    }

    /// The attempt was genuine.
    pub async fn forgive(&self, tx: &mut Tx, keys: &[Vec<u8>]) -> Result<(), Broken> {
        throttles::forgive(tx, keys).await
    }
}

/// Counts one in a bucket of its own; what does not fit is not counted.
async fn pass(tx: &mut Tx, key: Vec<u8>, (size, leak): Limit) -> Result<Gate, Broken> {
    let level = throttles::add(tx, std::slice::from_ref(&key), &[leak]).await?.into_iter().next();
    let over = level.unwrap_or_default() - size;
    if over <= 0.0 {
        return Ok(Gate::Open(Vec::new()));
    }
    throttles::forgive(tx, &[key]).await?;
    Ok(Gate::Closed(seconds(over / leak)))
}
