//! The log: structured, on stderr, as the configuration wants it.
//!
//! Invariant: no secret is ever in it, whatever the configuration wants.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, LevelFilter, Targets},
    fmt,
    layer::{Filter, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::config::{Log, LogFormat};

/// Starts the log of a server. A second one in the same process keeps the first's.
pub(super) fn start(log: &Log) {
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    // Only the first counts, and there is nobody to tell that it was not the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter(&log.filter))).try_init();
}

/// What is wanted, of what may be said.
fn filter(wanted: &str) -> impl Filter<Registry> + use<> {
    EnvFilter::builder().parse_lossy(wanted).and(sayable())
}

/// What may be said at all. The libraries' own search for faults goes through their hands as it is: whole statements with
/// what is bound to them, the passwords of roles and of people among it. No filter of the configuration gets that out.
fn sayable() -> Targets {
    Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("mooring", LevelFilter::TRACE)
        // Errors of whoever connects (a head that is too long, a body that breaks off): no defect of ours.
        .with_target("actix_http::h1::decoder", LevelFilter::OFF)
        .with_target("actix_http::h1::dispatcher", LevelFilter::OFF)
        .with_target("actix_http::h2::dispatcher", LevelFilter::OFF)
        // Why an assertion is refused: our own line gives the reason.
        .with_target("webauthn_rs_core", LevelFilter::OFF)
        // Pages of what our own line says in a few words.
        .with_target("reqwest_retry", LevelFilter::ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever may be said: what is not wanted is passed over by its level alone, at no cost.
    #[test]
    fn no_more_is_looked_at_than_is_wanted() {
        assert_eq!(filter("info").max_level_hint(), Some(LevelFilter::INFO));
        assert_eq!(filter("warn,mooring=debug").max_level_hint(), Some(LevelFilter::DEBUG));
    }
}
