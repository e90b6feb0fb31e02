//! Throttling of guesses and of what strangers have us remember.
//!
//! Leaky buckets in PostgreSQL, so that every replica counts in the same ones. A guess is counted before it is looked at and
//! forgiven when it was right, so that guesses made at once do not slip through, and good sign-ins use nothing up. A client's
//! secret is random and cannot be guessed, so only failures are counted, which keeps a good call at one statement; what is
//! slowed down there is noise.
//!
//! Invariant: what a stranger does keeps nobody out. A browser in which the person has signed in before has buckets of its own
//! for that person, so neither guesses at the account nor those of a neighbour count against it; a passkey is never counted
//! with passwords.

use uuid::Uuid;

use super::{
    limits::{Attempt, CHOICES, KNOWN, Limit, PUSHES, REPORTS, STRANGERS, WARNINGS, WRONG_PASSKEYS},
    watch,
};
use crate::{
    db::{
        Tx, devices,
        throttles::{self, Bucket, Counted},
        work_reports,
    },
    failure::Broken,
    jose::Key256,
    oauth::{Error, ErrorCode},
};

/// May the attempt go on?
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    Open(Admitted),
    /// Not before so many seconds.
    Closed(u32),
}

impl Gate {
    /// What was counted; or refuses what is too much, in these words, until there is room again.
    pub fn or_later(self, description: &'static str) -> Result<Admitted, Error> {
        match self {
            Self::Open(admitted) => Ok(admitted),
            Self::Closed(seconds) => {
                Err(Error::new(ErrorCode::TemporarilyUnavailable, description).retry_after(seconds))
            }
        }
    }
}

/// What was counted of an attempt, to be forgiven if it was genuine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admitted {
    buckets: Vec<Bucket>,
    /// The one of failures in a row.
    in_a_row: Option<Bucket>,
    /// What a success empties: the rows of failures at the account, from here and from elsewhere.
    ends: Vec<Bucket>,
    /// Another failure in a row at this account would be too many.
    pub is_last: bool,
}

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

    fn bucket(&self, parts: &[&[u8]], limit: Limit) -> Bucket {
        let parts: Vec<&[u8]> = std::iter::once(b"bucket".as_slice()).chain(parts.iter().copied()).collect();
        Bucket { key: self.0.mac(&parts).to_vec(), step: 1.0 / limit.leak, room: limit.size / limit.leak }
    }

    /// One of the source, and one of each wider network it is in.
    fn of_networks(&self, tx: &Tx, what: &[u8], limit: Limit) -> Vec<Bucket> {
        let source = tx.trace.source_hash.iter();
        let networks = source.chain(&tx.trace.neighbourhoods).zip(limit.widening());
        networks.map(|(network, limit)| self.bucket(&[what, network], limit)).collect()
    }

    /// The buckets of an attempt, the last one that of failures in a row where there is one.
    fn of_attempt(&self, tx: &Tx, attempt: Attempt, account: &str, device: Option<Uuid>) -> Vec<Bucket> {
        let name = attempt.name().as_bytes();
        if let Some(device) = device {
            let limits = [
                ("pair", Some(attempt.of_pair())),
                ("account", attempt.of_account()),
                ("in-a-row", attempt.in_a_row()),
            ];
            let some = limits.into_iter().filter_map(|(kind, limit)| Some((kind, limit?)));
            return some
                .map(|(kind, limit)| {
                    self.bucket(&[b"device", kind.as_bytes(), name, account.as_bytes(), device.as_bytes()], limit)
                })
                .collect();
        }
        let source = tx.trace.source_hash.as_deref().unwrap_or_default();
        let mut buckets = vec![self.bucket(&[b"pair", name, account.as_bytes(), source], attempt.of_pair())];
        buckets.extend(self.of_networks(tx, name, attempt.of_source()));
        buckets.extend(attempt.of_account().map(|limit| self.bucket(&[b"account", name, account.as_bytes()], limit)));
        buckets.extend(self.in_a_row(attempt, account));
        buckets
    }

    /// That of failures in a row at the account, from browsers that are not known.
    fn in_a_row(&self, attempt: Attempt, account: &str) -> Option<Bucket> {
        let limit = attempt.in_a_row()?;
        Some(self.bucket(&[b"in-a-row", attempt.name().as_bytes(), account.as_bytes()], limit))
    }

    /// How many seconds it takes until [`Sources::count`] would admit this attempt; `None`: it would now. Counts nothing.
    pub async fn wait(
        &self,
        tx: &mut Tx,
        attempt: Attempt,
        account: &str,
        device: Option<Uuid>,
    ) -> Result<Option<u32>, Broken> {
        let wait = throttles::wait(tx, &self.of_attempt(tx, attempt, account, device)).await?;
        if wait <= 0.0 {
            return Ok(None);
        }
        watch::source_throttled(attempt.name(), &tx.trace, tx.now);
        Ok(Some(seconds(wait)))
    }

    /// Counts an attempt at `account` from the unit's source, or from the person's known `device`, and says whether it may go
    /// on.
    pub async fn count(
        &self,
        tx: &mut Tx,
        attempt: Attempt,
        account: &str,
        device: Option<Uuid>,
    ) -> Result<Gate, Broken> {
        let buckets = self.of_attempt(tx, attempt, account, device);
        Ok(match throttles::put_in(tx, &buckets).await? {
            // A refused attempt is not a guess: counting it too would keep an eager person out for ever.
            Counted::Over(wait) => {
                watch::source_throttled(attempt.name(), &tx.trace, tx.now);
                Gate::Closed(seconds(wait))
            }
            Counted::Within(held) => {
                let mut buckets = buckets;
                let in_a_row = attempt.in_a_row().and_then(|_| buckets.pop());
                let of =
                    |bucket: &Bucket| held.iter().find(|(key, _)| *key == bucket.key).map_or(0.0, |(_, held)| *held);
                let is_last = in_a_row.as_ref().is_some_and(|bucket| of(bucket) + bucket.step > bucket.room);
                let ends = self.in_a_row(attempt, account).into_iter().chain(in_a_row.clone()).map(emptied).collect();
                Gate::Open(Admitted { buckets, in_a_row, ends, is_last })
            }
        })
    }

    /// The attempt was genuine: it was no guess, and ends the row of failures.
    pub async fn forgive(&self, tx: &mut Tx, admitted: &Admitted) -> Result<(), Broken> {
        let buckets: Vec<Bucket> = admitted.buckets.iter().chain(&admitted.ends).cloned().collect();
        throttles::take_out(tx, &buckets).await
    }

    /// The attempt was not looked at.
    pub async fn take_back(&self, tx: &mut Tx, admitted: &Admitted) -> Result<(), Broken> {
        let buckets: Vec<Bucket> = admitted.buckets.iter().chain(&admitted.in_a_row).cloned().collect();
        throttles::take_out(tx, &buckets).await
    }

    /// The account has another password: what was guessed at was the one before.
    pub async fn forget_failures(&self, tx: &mut Tx, attempt: Attempt, account: &str) -> Result<(), Broken> {
        let ends: Vec<Bucket> = self.in_a_row(attempt, account).into_iter().map(emptied).collect();
        throttles::take_out(tx, &ends).await
    }

    /// Whether the person is to be written to about guesses: once a day, however long it goes on.
    pub async fn may_warn(&self, tx: &mut Tx, account: &str) -> Result<bool, Broken> {
        let bucket = self.bucket(&[b"warning", account.as_bytes()], WARNINGS);
        Ok(matches!(throttles::put_in(tx, &[bucket]).await?, Counted::Within(_)))
    }

    /// Counts a stranger who is about to be remembered (a visitor session, a waiting request). A browser in which somebody has
    /// signed in before has a bucket of its own.
    ///
    /// `octets`: how much it is that we are to remember.
    pub async fn count_stranger(&self, tx: &mut Tx, octets: usize) -> Result<Gate, Broken> {
        let buckets = match self.of_known_browser(tx).await? {
            Some(bucket) => vec![bucket],
            None => self.of_networks(tx, b"stranger", STRANGERS),
        };
        let buckets: Vec<Bucket> = buckets.into_iter().map(|bucket| weighing(bucket, octets)).collect();
        pass(tx, &buckets).await
    }

    async fn of_known_browser(&self, tx: &mut Tx) -> Result<Option<Bucket>, Broken> {
        let Some(shown) = tx.trace.device_cookie.clone() else { return Ok(None) };
        let device = devices::find_of_anybody(tx, &shown).await?;
        Ok(device.map(|device| self.bucket(&[b"known", device.as_bytes()], KNOWN)))
    }

    /// Counts a request for a reset link, whoever is named. A browser in which somebody has signed in before has buckets of its
    /// own, so that strangers at the same address do not keep it from asking.
    pub async fn count_reset(&self, tx: &mut Tx, name: &str) -> Result<Gate, Broken> {
        let device = match tx.trace.device_cookie.clone() {
            Some(shown) => devices::find_of_anybody(tx, &shown).await?,
            None => None,
        };
        self.count(tx, Attempt::PasswordReset, name, device).await
    }

    /// Counts a password that one person (`key`) tries to choose: its estimate, look-up and hash are worth more than a guess.
    pub async fn count_choice(&self, tx: &mut Tx, key: &str) -> Result<Gate, Broken> {
        let bucket = self.bucket(&[b"choice", key.as_bytes()], CHOICES);
        pass(tx, &[bucket]).await
    }

    /// Counts a request that an authenticated client pushes (RFC 9126 §2.3: 429), by how much it has us remember.
    pub async fn count_push(&self, tx: &mut Tx, client_id: &str, octets: usize) -> Result<Gate, Broken> {
        let bucket = self.bucket(&[b"push", client_id.as_bytes()], PUSHES);
        pass(tx, &[weighing(bucket, octets)]).await
    }

    /// How many seconds it takes until another answer with this passkey is verified; `None`: it is now. Counts nothing.
    pub async fn wait_for_passkey(&self, tx: &mut Tx, passkey: &str) -> Result<Option<u32>, Broken> {
        let wait = throttles::wait(tx, &[self.of_passkey(passkey)]).await?;
        Ok((wait > 0.0).then(|| seconds(wait)))
    }

    /// Counts an answer with this passkey that was wrong, wherever it came from: a neighbour's do not count against it.
    pub async fn count_wrong_passkey(&self, tx: &mut Tx, passkey: &str) -> Result<(), Broken> {
        throttles::put_in(tx, &[self.of_passkey(passkey)]).await.map(drop)
    }

    fn of_passkey(&self, passkey: &str) -> Bucket {
        self.bucket(&[b"wrong-passkey", passkey.as_bytes()], WRONG_PASSKEYS)
    }

    /// Writes the unit's event, a report of this client, if there is room for it.
    pub async fn admit_report(&self, tx: &mut Tx, client_id: &str) -> Result<Gate, Broken> {
        let bucket = self.bucket(&[b"report", client_id.as_bytes()], REPORTS);
        let wait = work_reports::insert_within(tx, &bucket).await?;
        Ok(if wait > 0.0 { Gate::Closed(seconds(wait)) } else { Gate::Open(Admitted::default()) })
    }

    /// Counts a client that is about to register itself; a source may do so `an_hour` times an hour. What comes of it counts
    /// all the same: a refused registration has made us read, and perhaps fetch.
    pub async fn count_registration(&self, tx: &mut Tx, an_hour: u32) -> Result<Gate, Broken> {
        let limit = Limit { size: f64::from(an_hour), leak: f64::from(an_hour) / 3600.0 };
        let buckets = self.of_networks(tx, b"registration", limit);
        pass(tx, &buckets).await
    }
}

/// All of it goes.
fn emptied(bucket: Bucket) -> Bucket {
    Bucket { step: bucket.room + bucket.step, ..bucket }
}

/// What is larger than a usual request counts as several.
#[expect(clippy::cast_precision_loss, reason = "a request is far below 2^52 octets")]
fn weighing(bucket: Bucket, octets: usize) -> Bucket {
    const USUAL: f64 = 2048.0;
    Bucket { step: bucket.step * (octets as f64 / USUAL).max(1.0), ..bucket }
}

/// Counts what is never forgiven; what does not fit is not counted.
async fn pass(tx: &mut Tx, buckets: &[Bucket]) -> Result<Gate, Broken> {
    Ok(match throttles::put_in(tx, buckets).await? {
        Counted::Within(_) => Gate::Open(Admitted::default()),
        Counted::Over(wait) => Gate::Closed(seconds(wait)),
    })
}
