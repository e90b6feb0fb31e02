//! What is logged and how it looks.

use tracing_subscriber::EnvFilter;

use super::{
    given::Reader,
    key::{Key, Section},
    value::Word,
};
use crate::failure::Stop;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

static FORMAT: Key<LogFormat> = Key::or("format", "text", "For people, or an object a line.");
static FILTER: Key<String> = Key::or(
    "filter",
    "info",
    "What is logged: a level, or levels by module, as in `info,mooring=debug`. Of libraries no more than `info`.",
);

pub static SECTION: Section = Section {
    name: "log",
    doc: "The log goes to stderr; secrets never do.",
    repeated: false,
    keys: || vec![&FORMAT, &FILTER],
};

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// In the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

pub fn read(from: &Reader<'_>) -> Result<Log, Stop> {
    let log = Log { format: from.get(&FORMAT)?, filter: from.get(&FILTER)? };
    if EnvFilter::builder().parse(&log.filter).is_err() {
        return Err(from.wrong(&FILTER, "write a level (error, warn, info, debug, trace), or levels by module"));
    }
    Ok(log)
}
