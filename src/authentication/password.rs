//! Passwords: Argon2id in a bounded pool.
//!
//! Hashing is meant to be dear, so only so many run at once: a burst of sign-ins queues instead of starving everything
//! else or exhausting memory. An unknown person costs exactly what a known one does.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::{
    config,
    failure::{Broken, Stop},
};

/// The longest password that is looked at, in octets: hashing cost must not follow the sender's wishes.
pub const MAX_LENGTH: usize = 1024;

/// How many may wait or run for each that may run: a second or two of work.
const QUEUE: usize = 64;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordVerdict {
    Fits,
    /// It fits, but the stored hash was made with other parameters and should be replaced.
    FitsOldHash,
    DoesNotFit,
}

/// Hashes and verifies; cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    argon2: Arc<Argon2<'static>>,
    permits: Arc<Semaphore>,
    queue: Arc<Semaphore>,
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
            decoy: decoy.into(),
        })
    }

    /// Hashes a password; the answer is in PHC form.
    pub async fn hash(&self, password: String) -> Result<String, Broken> {
        let argon2 = self.argon2.clone();
        self.run(move || hash(&argon2, &password)).await?
    }

    /// Compares a password with a stored hash; `None` stands for a person who is not there or has no password, and
    /// takes as long.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<PasswordVerdict, Broken> {
        let (argon2, decoy) = (self.argon2.clone(), self.decoy.clone());
        self.run(move || {
            let known = stored.is_some();
            let text = stored.as_deref().unwrap_or(&decoy);
            let parsed =
                PasswordHash::new(text).map_err(|error| Broken::new(format_args!("stored password hash: {error}")))?;
            let fits = password.len() <= MAX_LENGTH && argon2.verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(
                match (
                    known && fits,
                    Params::try_from(&parsed).is_ok_and(|params| {
                        params.m_cost() == argon2.params().m_cost() && params.t_cost() == argon2.params().t_cost()
                    }),
                ) {
                    (true, true) => PasswordVerdict::Fits,
                    (true, false) => PasswordVerdict::FitsOldHash,
                    (false, _) => PasswordVerdict::DoesNotFit,
                },
            )
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

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, Broken> {
    argon2
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Broken::new(format_args!("hashing a password: {error}")))
}
