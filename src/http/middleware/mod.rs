//! What happens around every request: it is counted, and its answer is marked with its id.

use std::{cell::RefCell, collections::HashSet};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY},
    middleware::Next,
    web::Data,
};

use super::extract::Visit;
use crate::{app::App, metrics};

/// Counts and times the request; HSTS where the issuer is https (RFC 6797 §7.2).
pub async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = std::time::Instant::now();
    let app = request.app_data::<Data<App>>().cloned();
    let method = request.method().clone();
    let mut response = next.call(request).await?;
    let route = response.request().match_pattern();
    let status = response.status().as_u16();
    let route = route.map_or("unmatched", |pattern| interned(&pattern));
    metrics::request(route, method.as_str(), status, started.elapsed().as_secs_f64());
    if let Some(app) = app {
        if app.config.issuer.is_https() {
            let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, year);
        }
        if tracing::enabled!(tracing::Level::DEBUG) || status >= 400 {
            let id = Visit::of(response.request(), &app).trace.request_id.clone();
            tracing::debug!(request_id = %id, %method, route, status, "answered");
            if let Ok(id) = HeaderValue::from_str(&id) {
                response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
            }
        }
    }
    Ok(response)
}

thread_local! {
    static PATTERNS: RefCell<HashSet<&'static str>> = RefCell::default();
}

/// The pattern for ever: there are as many as routes, and labels have to outlive the request.
fn interned(pattern: &str) -> &'static str {
    PATTERNS.with_borrow_mut(|known| {
        known.get(pattern).copied().unwrap_or_else(|| {
            let kept: &'static str = Box::leak(pattern.to_owned().into_boxed_str());
            known.insert(kept);
            kept
        })
    })
}
