//! The log: structured, on stderr, as the configuration wants it.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// Starts the log of a server. A second one in the same process keeps the first's.
pub(super) fn start(log: &Log) {
    let filter = EnvFilter::builder().parse_lossy(&log.filter);
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    // Only the first counts, and there is nobody to tell that it was not the first.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
}
