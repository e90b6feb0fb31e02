//! Figures for Prometheus: what is counted, under which names and labels.
//!
//! Labels come from closed lists, never from callers: a request cannot make a new series. Nothing is counted until
//! [`install`], and then by all servers of the process together. Not for logs, and not for the audit.

use std::{cell::RefCell, collections::HashMap, sync::OnceLock};

use metrics::{Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "mooring_http_requests_total";
const DURATION: &str = "mooring_http_request_duration_seconds";
const REFUSALS: &str = "mooring_refusals_total";
const SIGN_INS: &str = "mooring_sign_ins_total";
const STATEMENTS: &str = "mooring_db_statements_total";
const CONNECTIONS: &str = "mooring_db_pool_connections";
const LIVE: &str = "mooring_sessions_live";
const OPEN: &str = "mooring_http_connections";
const NOTICES: &str = "mooring_notices_total";
const PENDING: &str = "mooring_notices_pending";
const REGISTERED: &str = "mooring_registered_clients";
const REGISTERED_OCTETS: &str = "mooring_registered_clients_bytes";

/// Upper bounds in seconds: what answers from memory, from the database, after an Argon2id, and what is too slow.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Begins to count, once for the process.
pub fn install() {
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Fails on an empty list only.
        let recorder = builder.set_buckets(BUCKETS).unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics is installed: /metrics stays empty");
        }
        describe_counter!(REQUESTS, "Requests answered, by route, method and status.");
        describe_histogram!(DURATION, "Seconds from a request's head to its answer's, by route and method.");
        describe_gauge!(OPEN, "Open connections to the listener.");
        describe_counter!(REFUSALS, "Requests refused, by the error code of the specification.");
        describe_counter!(SIGN_INS, "Tries to sign in, by method and outcome.");
        describe_counter!(STATEMENTS, "SQL statements sent, BEGIN and COMMIT included.");
        describe_gauge!(CONNECTIONS, "Connections of the pool that are idle or in use, and requests waiting for one.");
        describe_gauge!(LIVE, "Live sessions, by kind; counted every five minutes by one replica.");
        describe_counter!(NOTICES, "Tries to tell a relying party that a session has ended, by what came of them.");
        describe_gauge!(
            PENDING,
            "Logouts and mails that are neither delivered nor given up; counted every five minutes by one replica."
        );
        describe_gauge!(REGISTERED, "Clients that registered themselves; registration.limit bounds them.");
        describe_gauge!(REGISTERED_OCTETS, "What their metadata take; registration.limit_kib bounds it.");
        handle
    });
}

/// Everything counted so far, as Prometheus reads it; nothing before [`install`].
#[must_use]
pub fn render() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Folds samples into the buckets of their histograms. To be called every few seconds.
pub fn fold() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// What is kept of one route, method and status, so that a request looks up no labels.
type Series = (&'static str, &'static str, u16);

thread_local! {
    static SERIES: RefCell<HashMap<Series, (Counter, Histogram)>> = RefCell::default();
}

/// A request was answered. `route` is the pattern it matched (`/oauth/token`), never its path, and `unmatched` where it
/// matched none; `seconds` is how long the answer took.
pub fn request(route: &'static str, method: &str, status: u16, seconds: f64) {
    if HANDLE.get().is_none() {
        return;
    }
    let method = known_method(method);
    SERIES.with_borrow_mut(|series| {
        let (counter, histogram) = series.entry((route, method, status)).or_insert_with(|| {
            (
                counter!(REQUESTS, "route" => route, "method" => method, "status" => status.to_string()),
                histogram!(DURATION, "route" => route, "method" => method),
            )
        });
        counter.increment(1);
        histogram.record(seconds);
    });
}

/// A connection to the listener was opened.
pub fn connection_opened() {
    gauge!(OPEN).increment(1.0);
}

/// It is closed.
pub fn connection_closed() {
    gauge!(OPEN).decrement(1.0);
}

/// A request was refused for this reason: an error code (`invalid_grant`), or a word of the house (`throttled`).
pub fn refused(reason: &'static str) {
    counter!(REFUSALS, "reason" => reason).increment(1);
}

/// Somebody tried to sign in: `password`, `second_factor` or `passkey`; `done`, `refused` or `throttled`.
pub fn sign_in(method: &'static str, outcome: &'static str) {
    counter!(SIGN_INS, "method" => method, "outcome" => outcome).increment(1);
}

/// The pool as it is, (connections, idle ones, requests waiting), and the statements sent since the start.
#[expect(clippy::cast_precision_loss, reason = "a pool has fewer than 2^52 connections")]
pub fn database((size, idle, waiting): (usize, usize, usize), statements: u64) {
    gauge!(CONNECTIONS, "state" => "idle").set(idle as f64);
    gauge!(CONNECTIONS, "state" => "in_use").set(size.saturating_sub(idle) as f64);
    gauge!(CONNECTIONS, "state" => "waiting").set(waiting as f64);
    counter!(STATEMENTS).absolute(statements);
}

/// How many sessions of each kind are live; a kind that is not named has none.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 sessions")]
pub fn live_sessions(live: &[(String, i64)]) {
    for kind in ["visitor", "user", "privileged", "service", "offline", "device"] {
        let count = live.iter().find(|(of, _)| of == kind).map_or(0, |(_, count)| *count);
        gauge!(LIVE, "kind" => kind).set(count as f64);
    }
}

/// A relying party was to be told of an end: `delivered`, `failed` (to be tried again), `skipped` or `abandoned`.
pub fn notice(outcome: &'static str) {
    counter!(NOTICES, "outcome" => outcome).increment(1);
}

/// How many notices are neither delivered nor given up.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 notices")]
pub fn pending_notices(pending: i64) {
    gauge!(PENDING).set(pending as f64);
}

/// How many clients registered themselves, and how many octets their metadata take.
#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 of either")]
pub fn registered_clients(clients: i64, octets: i64) {
    gauge!(REGISTERED).set(clients as f64);
    gauge!(REGISTERED_OCTETS).set(octets as f64);
}

fn known_method(method: &str) -> &'static str {
    ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_closed_labels() {
        install();
        request("/oauth/token", "POST", 200, 0.004);
        request("/oauth/token", "BREW", 405, 0.001);
        refused("invalid_grant");
        live_sessions(&[("user".to_owned(), 3)]);
        sign_in("password", "refused");
        notice("delivered");
        pending_notices(2);
        registered_clients(3, 4096);
        fold();
        let text = render();
        for line in [
            r#"mooring_http_requests_total{route="/oauth/token",method="POST",status="200"} 1"#,
            r#"mooring_http_requests_total{route="/oauth/token",method="other",status="405"} 1"#,
            r#"mooring_http_request_duration_seconds_bucket{route="/oauth/token",method="POST",le="0.005"} 1"#,
            r#"mooring_refusals_total{reason="invalid_grant"} 1"#,
            r#"mooring_sign_ins_total{method="password",outcome="refused"} 1"#,
            r#"mooring_sessions_live{kind="user"} 3"#,
            r#"mooring_sessions_live{kind="device"} 0"#,
            r#"mooring_notices_total{outcome="delivered"} 1"#,
            "mooring_notices_pending 2",
            "mooring_registered_clients 3",
            "mooring_registered_clients_bytes 4096",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
