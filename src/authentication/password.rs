//! Passwords: Argon2id in a bounded pool.
//!
//! Hashing is meant to be dear, so only so many run at once: a burst of sign-ins queues instead of starving everything
//! else or exhausting memory, and takes turns with everybody else ([`Passwords::turn`]). An unknown person costs exactly what a
//! known one does.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use super::turns::{Caller, Turn, Turns};
use crate::{
    config,
    failure::{Broken, Stop},
    unicode::nfc,
};

/// The longest password that is looked at, in octets: hashing cost must not follow the sender's wishes.
pub const MAX_LENGTH: usize = 1024;

/// How many may wait for each that may run: three or four seconds of work.
const QUEUE: usize = 192;
/// How many have a turn for each that may run: while one is computed, another is looked up.
const TURNS: usize = 2;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    Fits,
    /// It fits, but the stored hash was made with other parameters, or of another Unicode form, and should be replaced.
    FitsOldHash,
    DoesNotFit,
}

/// Hashes and verifies; cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    argon2: Arc<Argon2<'static>>,
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    turns: Arc<Turns>,
    /// A hash of nothing anybody knows: what an unknown person's password is compared with.
    decoy: Arc<str>,
}

impl Passwords {
    pub fn new(settings: &config::Passwords) -> Result<Self, Stop> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.parallelism, None)
            .map_err(|error| Stop::new(format_args!("[passwords]: {error}")))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hash(&argon2, &crate::jose::base64url(&crate::jose::random_bytes::<32>()))?;
        Ok(Self {
            argon2: Arc::new(argon2),
            permits: Arc::new(Semaphore::new(settings.concurrency.max(1))),
            queue: Arc::new(Semaphore::new(settings.concurrency.max(1) * QUEUE)),
            turns: Turns::new(settings.concurrency.max(1) * TURNS, settings.concurrency.max(1) * QUEUE),
            decoy: decoy.into(),
        })
    }

    /// Waits until it is this caller's turn to have a password checked. Guesses are counted in their turn, so that those that
    /// wait use up nobody's room.
    pub async fn turn(&self, caller: Caller) -> Result<Turn, Broken> {
        self.turns.take(caller).await
    }

    /// Hashes a password; the answer is in PHC form.
    pub async fn hash(&self, password: String) -> Result<String, Broken> {
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, &nfc(&password))).await?
    }

    /// Compares a password with a stored hash; `None` stands for a person who is not there or has no password, and
    /// takes as long.
    pub async fn verify(
        &self,
        _turn: &Turn,
        password: String,
        stored: Option<String>,
    ) -> Result<PasswordVerdict, Broken> {
        let (argon2, decoy) = (self.argon2.clone(), self.decoy.clone());
        self.run(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&decoy);
            let parsed =
                PasswordHash::new(text).map_err(|error| Broken::new(format_args!("stored password hash: {error}")))?;
            // Nobody's password is that long, whoever it is.
            if password.len() > MAX_LENGTH {
                return Ok(PasswordVerdict::DoesNotFit);
            }
            let composed = nfc(&password);
            let fits_composed = argon2.verify_password(composed.as_bytes(), &parsed).is_ok();
            // A hash of before passwords were composed is one of what was typed. Whose it is makes no difference in time.
            let fits_typed = *composed != *password && argon2.verify_password(password.as_bytes(), &parsed).is_ok();
            let fits = fits_composed || fits_typed;
            let params = Params::try_from(&parsed)
                .map_err(|error| Broken::new(format_args!("parameters of a stored password hash: {error}")))?;
            let is_present = cost(&params) == cost(argon2.params()) && params.t_cost() == argon2.params().t_cost();
            if known && fits {
                return Ok(if is_present && fits_composed {
                    PasswordVerdict::Fits
                } else {
                    PasswordVerdict::FitsOldHash
                });
            }
            if let Some(rest) = rest(argon2.params(), &params) {
                let rest = Argon2::new(Algorithm::Argon2id, Version::V0x13, rest);
                rest.hash_password_into(b"nobody's", b"salt of nobody's", &mut [0; 32]).map_err(Broken::new)?;
            }
            Ok(PasswordVerdict::DoesNotFit)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
        // A queue without an end is how a burst would starve everybody: beyond this the answer is "come back".
        let queued = self.queue.clone().try_acquire_owned();
        let queued = queued.map_err(|_| Broken::unavailable("too many passwords are being checked"))?;
        let permit = self.permits.clone().acquire_owned().await.map_err(Broken::new)?;
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop((permit, queued));
            done
        })
        .await
        .map_err(Broken::new)
    }
}

/// What a hash costs, near enough: blocks that are filled, once for each pass.
fn cost(params: &Params) -> u64 {
    u64::from(params.m_cost()) * u64::from(params.t_cost())
}

/// What a cheaper hash of before has left out of the present cost, to be done too: else the time would tell who has not
/// signed in since the cost was raised, and so that they exist.
fn rest(present: &Params, stored: &Params) -> Option<Params> {
    let blocks = cost(present).checked_sub(cost(stored))? / u64::from(present.t_cost());
    Params::new(u32::try_from(blocks).ok()?, present.t_cost(), present.p_cost(), None).ok()
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, Broken> {
    argon2
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Broken::new(format_args!("hashing a password: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(memory: u32, iterations: u32) -> Params {
        Params::new(memory, iterations, 1, None).unwrap()
    }

    #[test]
    fn a_wrong_password_costs_the_same_whenever_it_was_set() {
        let present = params(19456, 2);
        for (memory, iterations) in [(1024, 1), (8, 1), (19456, 1), (4096, 3)] {
            let stored = params(memory, iterations);
            let rest = rest(&present, &stored).unwrap();
            assert!(cost(&present).abs_diff(cost(&stored) + cost(&rest)) < 16, "{memory} {iterations}");
        }
        // Nothing is left out, or nothing that could be done.
        for stored in [present.clone(), params(19455, 2), params(65536, 3)] {
            assert!(rest(&present, &stored).is_none());
        }
    }
}
