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
//!
//! Invariant: no answer says whether an account exists. What refuses a password is counted by the name that was typed, whether
//! or not somebody has it. The row of failures of a person yields instead: when it is full, a password is answered as a wrong
//! one.

use serde_json::Value;
use uuid::Uuid;

use super::{
    limits::{
        Attempt, CHOICES, KNOWN, KNOWN_RESETS, Limit, PUSHES, RECORDS, REPEATS, REPORTS, STRANGERS, WARNINGS,
        WRONG_PASSKEYS,
    },
    watch,
};
use crate::{
    db::{
        Tx, devices,
        throttles::{self, Bucket, Counted},
        users::User,
        work_reports,
    },
    failure::Broken,
    jose::Key256,
    oauth::{Error, ErrorCode},
    unicode::name_key,
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
    places: Places,
    /// Another failure like this one would be too many: the person is to be written to.
    pub is_last: bool,
    /// There were too many failures at the person, however they were called: the attempt is to be answered as a wrong one.
    pub is_over: bool,
}

/// The buckets of an attempt.
#[derive(Clone, Debug, Default, PartialEq)]
struct Places {
    /// A genuine attempt is taken out of these again.
    buckets: Vec<Bucket>,
    /// Those of failures in a row.
    rows: Vec<Bucket>,
    /// What a success empties: the rows of failures at the account, from here and from elsewhere.
    ends: Vec<Bucket>,
    /// The keys of those whose person is written to when they are full.
    watched: Vec<Vec<u8>>,
}

impl Places {
    fn all(&self) -> Vec<Bucket> {
        self.buckets.iter().chain(&self.rows).cloned().collect()
    }
}

/// The person whom somebody at the sign-in page says they are.
#[derive(Clone, Debug)]
pub struct Named {
    /// What was typed, as [`crate::unicode::name_key`].
    pub key: String,
    /// Who is called so.
    pub person: Option<Uuid>,
    /// The browser at hand, where that person has signed in with it before.
    pub device: Option<Uuid>,
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
        Bucket {
            key: self.0.mac(&parts).to_vec(),
            step: 1.0 / limit.leak,
            room: limit.size / limit.leak,
            yields: false,
        }
    }

    /// One of the source, and one of each wider network it is in.
    fn of_networks(&self, tx: &Tx, what: &[u8], limit: Limit) -> Vec<Bucket> {
        let networks = tx.trace.networks().zip(limit.widening());
        networks.map(|(network, limit)| self.bucket(&[what, network], limit)).collect()
    }

    /// Those of an attempt at `account` from the unit's source, or from the person's known `device`.
    fn of_attempt(&self, tx: &Tx, attempt: Attempt, account: &str, device: Option<Uuid>) -> Places {
        let (name, account) = (attempt.name().as_bytes(), account.as_bytes());
        let row = self.row(attempt, account);
        let ends = row.iter().cloned().map(emptied);
        let (mut buckets, of_account, row) = if let Some(device) = device {
            let of =
                |kind: &str, limit| self.bucket(&[b"device", kind.as_bytes(), name, account, device.as_bytes()], limit);
            let of_account = attempt.of_account().map(|limit| of("account", limit));
            (vec![of("pair", attempt.of_pair())], of_account, attempt.in_a_row().map(|limit| of("in-a-row", limit)))
        } else {
            let source = tx.trace.source_hash.as_deref().unwrap_or_default();
            let mut buckets = vec![self.bucket(&[b"pair", name, account, source], attempt.of_pair())];
            buckets.extend(self.of_networks(tx, name, attempt.of_source()));
            (buckets, self.of_account(attempt, account), row.clone())
        };
        let ends = ends.chain(row.iter().filter(|_| device.is_some()).cloned().map(emptied)).collect();
        let watched = of_account.iter().chain(&row).map(|bucket| bucket.key.clone()).collect();
        buckets.extend(of_account);
        Places { buckets, rows: row.into_iter().collect(), ends, watched }
    }

    /// Those of a password for a name. From a browser that the person is not known by, whoever is called so counts only in the
    /// row that yields.
    fn of_password(&self, tx: &Tx, named: &Named) -> Places {
        let person = named.person.map(|person| person.to_string());
        if let (Some(person), Some(device)) = (&person, named.device) {
            return self.of_attempt(tx, Attempt::SignIn, person, Some(device));
        }
        let mut places = self.of_attempt(tx, Attempt::SignIn, &of_name(&named.key), None);
        // The same work for a name that nobody has.
        let account = person.unwrap_or_else(|| format!("nobody {}", named.key));
        let row = self.row(Attempt::SignIn, account.as_bytes()).map(|row| Bucket { yields: true, ..row });
        places.watched = row.iter().map(|row| row.key.clone()).collect();
        places.ends.extend(row.iter().cloned().map(emptied));
        places.rows.extend(row);
        places
    }

    /// That of failures in a row at the account, from browsers that are not known.
    fn row(&self, attempt: Attempt, account: &[u8]) -> Option<Bucket> {
        let limit = attempt.in_a_row()?;
        Some(self.bucket(&[b"in-a-row", attempt.name().as_bytes(), account], limit))
    }

    /// That of attempts at the account, from browsers that are not known.
    fn of_account(&self, attempt: Attempt, account: &[u8]) -> Option<Bucket> {
        let limit = attempt.of_account()?;
        Some(self.bucket(&[b"account", attempt.name().as_bytes(), account], limit))
    }

    /// How many seconds it takes until [`Sources::count_password`] would admit this attempt; `None`: it would now. Counts
    /// nothing.
    pub async fn wait(&self, tx: &mut Tx, named: &Named) -> Result<Option<u32>, Broken> {
        let wait = throttles::wait(tx, &self.of_password(tx, named).all()).await?;
        if wait <= 0.0 {
            return Ok(None);
        }
        watch::source_throttled(Attempt::SignIn.name(), &tx.trace, tx.now);
        Ok(Some(seconds(wait)))
    }

    /// Counts a password for a name and says whether it may be looked at.
    pub async fn count_password(&self, tx: &mut Tx, named: &Named) -> Result<Gate, Broken> {
        let places = self.of_password(tx, named);
        put(tx, Attempt::SignIn, places).await
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
        let places = self.of_attempt(tx, attempt, account, device);
        put(tx, attempt, places).await
    }

    /// The attempt was genuine: it was no guess, and ends the row of failures.
    pub async fn forgive(&self, tx: &mut Tx, admitted: &Admitted) -> Result<(), Broken> {
        let Places { buckets, ends, .. } = &admitted.places;
        throttles::take_out(tx, &[buckets.as_slice(), ends].concat()).await
    }

    /// The password fitted: it was no guess, and ends the rows of failures at the person, however they were called.
    pub async fn forgive_password(&self, tx: &mut Tx, admitted: &Admitted, user: &User) -> Result<(), Broken> {
        let Places { buckets, ends, .. } = &admitted.places;
        let ends = [ends.as_slice(), &self.failures_at(user.id, &user.username, &user.claims)].concat();
        throttles::take_out(tx, &[buckets.as_slice(), &ends].concat()).await
    }

    /// The attempt was not looked at.
    pub async fn take_back(&self, tx: &mut Tx, admitted: &Admitted) -> Result<(), Broken> {
        throttles::take_out(tx, &admitted.places.all()).await
    }

    /// The person has another password: what was guessed at was the one before, and so was what came after it.
    pub async fn forget_failures(
        &self,
        tx: &mut Tx,
        user_id: Uuid,
        username: &str,
        claims: &Value,
    ) -> Result<(), Broken> {
        let account = user_id.to_string();
        let codes = [Attempt::SecondFactor, Attempt::LinkCode].into_iter().flat_map(|attempt| {
            self.of_account(attempt, account.as_bytes()).into_iter().chain(self.row(attempt, account.as_bytes()))
        });
        let codes: Vec<Bucket> = codes.map(emptied).collect();
        throttles::take_out(tx, &[self.failures_at(user_id, username, claims), codes].concat()).await
    }

    /// The rows of wrong passwords for the person, and for each of the names that they are called by; all of it goes.
    fn failures_at(&self, user_id: Uuid, username: &str, claims: &Value) -> Vec<Bucket> {
        let email = claims.get("email").and_then(Value::as_str);
        let names = std::iter::once(username).chain(email).map(|name| of_name(&name_key(name)));
        let accounts = std::iter::once(user_id.to_string()).chain(names);
        accounts.filter_map(|account| self.row(Attempt::SignIn, account.as_bytes())).map(emptied).collect()
    }

    /// Whether the person is to be written to about guesses at this: once a day, however long it goes on.
    pub async fn may_warn(&self, tx: &mut Tx, attempt: Attempt, account: &str) -> Result<bool, Broken> {
        let bucket = self.bucket(&[b"warning", attempt.name().as_bytes(), account.as_bytes()], WARNINGS);
        Ok(matches!(throttles::put_in(tx, &[bucket]).await?, Counted::Within(_)))
    }

    /// Whether the event is to be recorded that a page makes whenever it is opened: once a minute for `about`, which is what the
    /// page says, and so many for the session.
    pub async fn may_record(&self, tx: &mut Tx, session_id: Uuid, about: &[&[u8]]) -> Result<bool, Broken> {
        let session = session_id.as_bytes().as_slice();
        let about = [[b"record".as_slice(), session].as_slice(), about].concat();
        let buckets = [self.bucket(&about, REPEATS), self.bucket(&[b"records", session], RECORDS)];
        Ok(matches!(throttles::put_in(tx, &buckets).await?, Counted::Within(_)))
    }

    /// Counts a stranger who is about to be remembered (a visitor session, a waiting request). The browsers in which a person has
    /// signed in before have a bucket of that person.
    ///
    /// `octets`: how much it is that we are to remember.
    pub async fn count_stranger(&self, tx: &mut Tx, octets: usize) -> Result<Gate, Broken> {
        let buckets = match person_of_browser(tx).await? {
            Some(person) => vec![self.bucket(&[b"known", person.as_bytes()], KNOWN)],
            None => self.of_networks(tx, b"stranger", STRANGERS),
        };
        let buckets: Vec<Bucket> = buckets.into_iter().map(|bucket| weighing(bucket, octets)).collect();
        pass(tx, &buckets).await
    }

    /// Counts a request for a reset link, whoever is named. The browsers in which a person has signed in before have buckets of
    /// that person, so that strangers at the same address do not keep them from asking.
    pub async fn count_reset(&self, tx: &mut Tx, name: &str) -> Result<Gate, Broken> {
        let attempt = Attempt::PasswordReset;
        let places = match person_of_browser(tx).await? {
            Some(person) => {
                let (what, person) = (attempt.name().as_bytes(), person.as_bytes());
                let pair = self.bucket(&[b"known-pair", what, name.as_bytes(), person], attempt.of_pair());
                Places {
                    buckets: vec![pair, self.bucket(&[b"known", what, person], KNOWN_RESETS)],
                    ..Places::default()
                }
            }
            None => self.of_attempt(tx, attempt, name, None),
        };
        put(tx, attempt, places).await
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

/// Whose browser it is, as far as its device cookie says; of several people who share it always the same one.
async fn person_of_browser(tx: &mut Tx) -> Result<Option<Uuid>, Broken> {
    match tx.trace.device_cookie.clone() {
        Some(shown) => devices::find_person(tx, &shown).await,
        None => Ok(None),
    }
}

/// What attempts at a name are counted by. It is never what those at a person are counted by.
fn of_name(key: &str) -> String {
    format!("name {key}")
}

async fn put(tx: &mut Tx, attempt: Attempt, mut places: Places) -> Result<Gate, Broken> {
    Ok(match throttles::put_in(tx, &places.all()).await? {
        // A refused attempt is not a guess: counting it too would keep an eager person out for ever.
        Counted::Over(wait) => {
            watch::source_throttled(attempt.name(), &tx.trace, tx.now);
            Gate::Closed(seconds(wait))
        }
        Counted::Within(held) => {
            let of = |bucket: &Bucket| held.iter().find(|(key, _)| *key == bucket.key).map(|(_, held)| *held);
            let is_full = |bucket: &Bucket| of(bucket).is_some_and(|held| held + bucket.step > bucket.room);
            let is_last = places.all().iter().any(|bucket| places.watched.contains(&bucket.key) && is_full(bucket));
            let before = places.rows.len();
            places.rows.retain(|row| of(row).is_some());
            let is_over = places.rows.len() < before;
            Gate::Open(Admitted { places, is_last, is_over })
        }
    })
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
