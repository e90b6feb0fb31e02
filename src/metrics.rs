//! What is counted, by name. The listener that shows it is `http`'s.

use std::time::Duration;

/// A request was answered.
pub fn request(route: &str, method: &'static str, status: u16, took: Duration) {
    let status = match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("mooring_http_requests_total", "route" => route.to_owned(), "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("mooring_http_request_duration_seconds", "route" => route.to_owned())
        .record(took.as_secs_f64());
}

/// Something was refused, by the code that the caller was told.
pub fn refused(reason: &'static str) {
    metrics::counter!("mooring_refusals_total", "reason" => reason).increment(1);
}

/// The method as a label: a closed set, so that a sender cannot make new time series.
pub fn method_name(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "POST" => "POST",
        "OPTIONS" => "OPTIONS",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
