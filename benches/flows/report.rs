//! The figures as a table in plain text.

use std::time::Duration;

use crate::load::Figures;

pub const LEGEND: &str = "\
server, pg      processor seconds of the server and of PostgreSQL (all its processes) for 1,000 operations
/rs256          server, as a multiple of one RS256 signature measured just before
stmts, trips    SQL statements and round trips an operation, as the server counts them
txns, writes    transactions an operation, and those of them that wrote
flushes         flushes of the write-ahead log an operation (commits at the same time share one)
rss             resident memory of the server after the load, MiB
code_flow       on one live session per connection, over and over; code_flow_spread on another session each time
session_end_N   sign-out at the end-session endpoint, confirmation included, with N access tokens on the session";

pub fn heading() -> String {
    format!(
        "{:<24} {:>4} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6}",
        "scenario",
        "conn",
        "ops/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "server",
        "/rs256",
        "pg",
        "stmts",
        "trips",
        "txns",
        "writes",
        "flushes",
        "rss"
    )
}

pub fn line(name: &str, concurrency: usize, figures: &Figures) -> String {
    let milliseconds = |of_hundred| figures.percentile(of_hundred).as_secs_f64() * 1000.0;
    // Seconds for a thousand operations are milliseconds for one.
    let thousand = |time: Duration| figures.each(time.as_secs_f64() * 1000.0);
    let optional = |value: Option<f64>, width: usize, digits: usize| match value {
        Some(value) => format!("{value:>width$.digits$}"),
        None => format!("{:>width$}", "-"),
    };
    let each = |total: Option<f64>| optional(total.map(|total| figures.each(total)), 6, 2);
    let server = thousand(figures.server);
    format!(
        "{name:<24} {concurrency:>4} {:>8.0} {:>8.2} {:>8.2} {:>8.2} {server:>8.4} {:>7.2} {} {} {} {} {} {} {}",
        figures.operations as f64 / figures.elapsed.as_secs_f64(),
        milliseconds(50),
        milliseconds(95),
        milliseconds(99),
        server / (figures.signature.as_secs_f64() * 1000.0),
        optional(figures.postgres.map(thousand), 8, 4),
        each(figures.statements),
        each(figures.round_trips),
        each(figures.database.and_then(|it| it.transactions)),
        each(figures.database.map(|it| it.writing)),
        optional(figures.database.and_then(|it| it.flushes).map(|total| figures.each(total)), 7, 2),
        optional(figures.memory, 6, 1),
    )
}

pub fn spread(name: &str, times: &mut [Duration]) -> String {
    times.sort_unstable();
    let seconds = |index: usize| times.get(index).copied().unwrap_or_default().as_secs_f64();
    format!(
        "{name:<38} median {:.3} s, from {:.3} to {:.3}, of {}",
        seconds(times.len() / 2),
        seconds(0),
        seconds(times.len().saturating_sub(1)),
        times.len()
    )
}
