//! The server's signing keys: kept sealed in the database, held parsed in memory, published as a JWKS.
//!
//! The copy in memory can be dropped at any time (invariant 9): it is reloaded by a job, and a key signs only when every
//! verifier and every replica has had time to fetch it.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{Tx, signing_keys},
    failure::Broken,
    jose::{Algorithm, Key256, SigningKey},
};

/// How soon a new key is in every replica's JWKS.
pub const PUBLISHED_WITHIN: Duration = Duration::from_secs(1);
/// How long verifiers may keep the JWKS.
pub const JWKS_MAX_AGE: TimeDelta = TimeDelta::minutes(5);
/// How long after its publication a new key begins to sign: the cache time, and a margin for the replicas' reload.
const OVERLAP: TimeDelta = TimeDelta::minutes(6);
/// How long after another has taken over a key is still published: longer than any ID token or JWT access token lives.
const RETIREMENT: TimeDelta = TimeDelta::hours(13);

#[derive(Default)]
struct KeySet {
    /// Each with the instant from which it signs, oldest first.
    keys: Vec<(DateTime<Utc>, Arc<SigningKey>)>,
    jwks: Arc<str>,
    public: Arc<[Value]>,
    /// The public keys, and those that have left the JWKS.
    own: Arc<[Value]>,
}

/// The keys in memory; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    seal: Arc<Key256>,
    set: Arc<RwLock<Arc<KeySet>>>,
}

impl Keys {
    /// Holds nothing until [`Keys::reload`].
    #[must_use]
    pub fn new(seal: Key256) -> Self {
        Self { seal: Arc::new(seal), set: Arc::default() }
    }

    /// Reads the published keys, and the public half of the retired ones. A published key that does not open under the master secret is an error that says so.
    pub async fn reload(&self, tx: &mut Tx) -> Result<(), Broken> {
        let held: HashMap<String, Arc<SigningKey>> =
            self.current_set().keys.iter().map(|(_, key)| (key.kid().to_owned(), key.clone())).collect();
        let (mut keys, mut public, mut own) = (Vec::new(), Vec::new(), Vec::new());
        let now = tx.now;
        for row in signing_keys::load_all(tx).await? {
            if row.withdrawn_at.is_some() {
                continue;
            }
            own.push(row.public_jwk.clone());
            if row.retires_at.is_some_and(|at| at <= now) {
                continue;
            }
            let key = if let Some(key) = held.get(&row.kid) {
                key.clone()
            } else {
                let algorithm: Algorithm = row.algorithm.parse().map_err(Broken::new)?;
                let der = self.seal.open(row.kid.as_bytes(), &row.sealed).map_err(|_| {
                    Broken::new(format_args!(
                        "signing key {} does not open: the master secret is not the one of this database",
                        row.kid
                    ))
                })?;
                Arc::new(SigningKey::from_pkcs8(algorithm, &der)?)
            };
            keys.push((row.signs_from, key));
            public.push(row.public_jwk);
        }
        let jwks = json!({ "keys": public }).to_string().into();
        let set = Arc::new(KeySet { keys, jwks, public: public.into(), own: own.into() });
        *self.set.write().unwrap_or_else(std::sync::PoisonError::into_inner) = set;
        Ok(())
    }

    /// The key of an algorithm that signs at `now`: the newest that may. The first key of a database signs at once, so where the
    /// clock of the replica that made it is ahead of ours it signs before its time: nothing else can.
    pub fn signing(&self, algorithm: Algorithm, now: DateTime<Utc>) -> Result<Arc<SigningKey>, Broken> {
        let set = self.current_set();
        let mut of_algorithm = set.keys.iter().filter(|(_, key)| key.algorithm() == algorithm);
        let first = of_algorithm.clone().next();
        of_algorithm
            .rfind(|(from, _)| *from <= now)
            .or(first)
            .map(|(_, key)| key.clone())
            .ok_or_else(|| Broken::new(format_args!("no {algorithm} key signs now")))
    }

    /// The JWKS document.
    #[must_use]
    pub fn jwks(&self) -> Arc<str> {
        self.current_set().jwks.clone()
    }

    /// The published keys as JWKs.
    #[must_use]
    pub fn public_jwks(&self) -> Arc<[Value]> {
        self.current_set().public.clone()
    }

    /// Every public key that we sign or ever signed with. An ID token is a hint at a person for longer than it is a
    /// proof of anything (OIDC Core §3.1.2.1): only for hints.
    #[must_use]
    pub fn own_jwks(&self) -> Arc<[Value]> {
        self.current_set().own.clone()
    }

    /// Whether every algorithm has a key that signs.
    #[must_use]
    pub fn are_complete(&self, now: DateTime<Utc>) -> bool {
        Algorithm::ALL.iter().all(|algorithm| self.signing(*algorithm, now).is_ok())
    }

    fn current_set(&self) -> Arc<KeySet> {
        self.set.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Makes the first key of each algorithm that has none; it signs at once. Returns how many.
pub async fn generate_missing(tx: &mut Tx, seal: &Key256) -> Result<usize, Broken> {
    signing_keys::lock(tx).await?;
    let published = signing_keys::load_published(tx).await?;
    let mut made = 0;
    for algorithm in Algorithm::ALL {
        if published.iter().all(|row| row.algorithm != algorithm.as_str()) {
            generate(tx, seal, algorithm, tx.now, Actor::Server).await?;
            made += 1;
        }
    }
    Ok(made)
}

/// Makes a new key of each of these algorithms, for an operator who asked for it: published at once, signing after the overlap; the old ones leave the JWKS when
/// nothing they signed is alive. Returns the new key ids and the instant from which they sign.
pub async fn rotate(
    tx: &mut Tx,
    seal: &Key256,
    algorithms: &[Algorithm],
) -> Result<(Vec<String>, DateTime<Utc>), Broken> {
    signing_keys::lock(tx).await?;
    let signs_from = tx.now + OVERLAP;
    let mut kids = Vec::new();
    for &algorithm in algorithms {
        let kid = generate(tx, seal, algorithm, signs_from, Actor::Operator).await?;
        signing_keys::retire_others(tx, algorithm.as_str(), &kid, signs_from + RETIREMENT).await?;
        kids.push(kid);
    }
    Ok((kids, signs_from))
}

/// What came of retiring a key at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// No key has this id.
    Unknown,
    /// It was retired at once before.
    Already,
    /// Its tokens are void, and this key signs in its place.
    Done { successor: String },
    /// Its tokens are void. It did not sign now; this key does, as before.
    Spare { signs: String },
}

/// Retires a key at once, for an operator who thinks that others have it: it leaves the JWKS now, and nothing that it signed
/// is believed any more, hints included. If it signed, the key that was published first of those that were to sign next signs from now
/// on; where there is none, one is made. Verifiers that cached the JWKS fetch it again when they meet the new key id.
/// If it did not sign, the key that does goes on.
pub async fn retire(tx: &mut Tx, seal: &Key256, kid: &str) -> Result<Retirement, Broken> {
    signing_keys::lock(tx).await?;
    let rows = signing_keys::load_all(tx).await?;
    let Some(row) = rows.iter().find(|row| row.kid == kid) else { return Ok(Retirement::Unknown) };
    if !signing_keys::withdraw(tx, kid).await? {
        return Ok(Retirement::Already);
    }
    let event = Event::done(Action::KeyRetired, Actor::Operator, Subject::default());
    audit::record(tx, event.detail(json!({ "kid": kid, "alg": row.algorithm })));
    let algorithm: Algorithm = row.algorithm.parse().map_err(Broken::new)?;
    let now = tx.now;
    let is_published = |row: &&signing_keys::SigningKeyRow| {
        row.withdrawn_at.is_none() && row.retires_at.is_none_or(|retires_at| retires_at > now)
    };
    let published = rows.iter().filter(|other| other.algorithm == row.algorithm).filter(is_published);
    // As `Keys::signing` chooses.
    let signing = published.clone().rfind(|key| key.signs_from <= now).or(published.clone().next());
    let others = published.filter(|other| other.kid != kid);
    if let Some(signing) = signing.filter(|signing| signing.kid != kid) {
        // A key with an end of its own was to be superseded by the one that is retired.
        if others.clone().all(|other| other.retires_at.is_some()) {
            generate(tx, seal, algorithm, now + OVERLAP, Actor::Operator).await?;
        }
        return Ok(Retirement::Spare { signs: signing.kid.clone() });
    }
    let successor = match others.filter(|other| other.signs_from > now).min_by_key(|other| other.created_at) {
        Some(next) => {
            signing_keys::sign_now(tx, &next.kid).await?;
            next.kid.clone()
        }
        // What a superseded key signed from now on would outlive it in the JWKS.
        None => generate(tx, seal, algorithm, now, Actor::Operator).await?,
    };
    Ok(Retirement::Done { successor })
}

async fn generate(
    tx: &mut Tx,
    seal: &Key256,
    algorithm: Algorithm,
    signs_from: DateTime<Utc>,
    actor: Actor,
) -> Result<String, Broken> {
    let (key, pkcs8) = SigningKey::generate(algorithm)?;
    let sealed = seal.seal(key.kid().as_bytes(), pkcs8.as_ref())?;
    signing_keys::insert(tx, key.kid(), algorithm.as_str(), &sealed, key.public_jwk(), signs_from).await?;
    let event = Event::done(Action::KeyAdded, actor, Subject::default());
    audit::record(tx, event.detail(json!({ "kid": key.kid(), "alg": algorithm.as_str(), "signs_from": signs_from })));
    Ok(key.kid().to_owned())
}
