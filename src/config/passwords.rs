//! How dear it is to try a password, and where a new one is looked up.

use std::num::{NonZeroU32, NonZeroUsize};

use super::{
    given::Reader,
    key::{Key, Section},
    server::cores,
};
use crate::failure::Stop;

/// 4 GiB: a burst of sign-ins above it is an outage of one's own making.
const MOST_MEMORY: u32 = 4 * 1024 * 1024;

static MEMORY_KIB: Key<NonZeroU32> =
    Key::or("memory_kib", "19456", "Memory of one Argon2id computation, in KiB. Tests and benchmarks may lower it.");
static ITERATIONS: Key<NonZeroU32> = Key::or("iterations", "2", "Passes over that memory.");
static PARALLELISM: Key<NonZeroU32> = Key::or("parallelism", "1", "Lanes.");
static CONCURRENCY: Key<NonZeroUsize> =
    Key::optional("concurrency", "the number of cores", "How many are computed at once; the others wait.");

static BREACH_CHECK_URL: Key<String> = Key::optional(
    "breach_check_url",
    "nobody is asked",
    "Where a new password is looked up among stolen ones, by the first five digits of its SHA-1 (`URL/21BD1`), as in \
     `https://api.pwnedpasswords.com/range`. Without an answer it is taken.",
);

pub static SECTION: Section = Section {
    name: "passwords",
    doc: "Argon2id (RFC 9106): a stored password keeps the cost it was stored with until its next use. And what people may \
          choose.",
    repeated: false,
    keys: || vec![&MEMORY_KIB, &ITERATIONS, &PARALLELISM, &CONCURRENCY, &BREACH_CHECK_URL],
};

/// The cost of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
    pub concurrency: usize,
    pub breach_check_url: Option<String>,
}

pub fn read(from: &Reader<'_>) -> Result<Passwords, Stop> {
    let passwords = Passwords {
        memory_kib: from.get(&MEMORY_KIB)?.get(),
        iterations: from.get(&ITERATIONS)?.get(),
        parallelism: from.get(&PARALLELISM)?.get(),
        concurrency: from.find(&CONCURRENCY)?.map_or_else(cores, NonZeroUsize::get),
        breach_check_url: from.find(&BREACH_CHECK_URL)?,
    };
    if passwords.parallelism > 64 {
        return Err(from.wrong(&PARALLELISM, "use at most 64"));
    }
    if passwords.breach_check_url.as_ref().is_some_and(|url| url::Url::parse(url).is_err()) {
        return Err(from.wrong(&BREACH_CHECK_URL, "write a URL"));
    }
    // RFC 9106 §3.1: at least 8 KiB a lane.
    let least = 8 * passwords.parallelism;
    if !(least..=MOST_MEMORY).contains(&passwords.memory_kib) {
        return Err(from.wrong(&MEMORY_KIB, format!("use from {least} (8 a lane) to {MOST_MEMORY}")));
    }
    Ok(passwords)
}
