//! How much of the machine the server takes, and how it goes.

use std::{num::NonZeroUsize, thread};

use chrono::TimeDelta;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static WORKERS: Key<NonZeroUsize> = Key::optional("workers", "the number of cores", "Threads that answer requests.");
static SHUTDOWN_TIMEOUT: Key<TimeDelta> =
    Key::or("shutdown_timeout", "10s", "How long requests in flight may take when the server is told to stop.");

static CONNECTIONS_PER_SOURCE: Key<NonZeroUsize> = Key::or(
    "connections_per_source",
    "512",
    "How many connections one address (one /64) may hold open at once. Those of trusted proxies are not counted.",
);

pub static SECTION: Section = Section {
    name: "server",
    doc: "The process.",
    repeated: false,
    keys: || vec![&WORKERS, &SHUTDOWN_TIMEOUT, &CONNECTIONS_PER_SOURCE],
};

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub workers: usize,
    pub shutdown_timeout: TimeDelta,
    pub connections_per_source: usize,
}

pub fn read(from: &Reader<'_>) -> Result<Server, Stop> {
    Ok(Server {
        workers: from.find(&WORKERS)?.map_or_else(cores, NonZeroUsize::get),
        shutdown_timeout: from.get(&SHUTDOWN_TIMEOUT)?,
        connections_per_source: from.get(&CONNECTIONS_PER_SOURCE)?.get(),
    })
}

/// What this process may use of the machine (cgroups considered), at least 1.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
