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

static SOURCES: Key<bool> = Key::or(
    "sources",
    "false",
    "Whole addresses of refused and throttled sign-ins in the log, for a firewall to read. Else only their networks, such as \
     203.0.x.x.",
);

pub static SECTION: Section = Section {
    name: "log",
    doc: "The log goes to stderr; secrets never do.",
    repeated: false,
    keys: || vec![&FORMAT, &FILTER, &SOURCES],
};

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// In the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// Whether addresses may stand in the log.
    pub sources: bool,
}

pub fn read(from: &Reader<'_>) -> Result<Log, Stop> {
    let log = Log { format: from.get(&FORMAT)?, filter: from.get(&FILTER)?, sources: from.get(&SOURCES)? };
    if EnvFilter::builder().parse(&log.filter).is_err() {
        return Err(from.wrong(&FILTER, "write a level (error, warn, info, debug, trace), or levels by module"));
    }
    Ok(log)
}
