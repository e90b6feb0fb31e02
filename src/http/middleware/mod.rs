//! What happens around every request: it is counted, its connection takes no other meanwhile, and its answer is marked with its id.

use std::{cell::RefCell, collections::HashSet};

use actix_web::{
    Error, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY},
    middleware::Next,
    web::Data,
};

use super::{
    bounded::{Gate, Pieces},
    extract::{Visit, cookies},
};
use crate::{app::App, metrics};

/// Counts and times the request; HSTS where the issuer is https (RFC 6797 §7.2).
pub async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = std::time::Instant::now();
    let present = Gate::begin(&mut request);
    let app = request.app_data::<Data<App>>().cloned();
    let method = request.method().clone();
    if let Some(app) = &app {
        cookies::settle(app, request.request()).await;
    }
    let mut response = next.call(request).await?;
    drop(present);
    let status = response.status().as_u16();
    let route = route(response.request());
    metrics::request(route, method.as_str(), status, started.elapsed().as_secs_f64());
    if let Some(app) = app {
        if app.config.issuer.is_https() {
            // Of this host: what else runs below its name is not ours to force (no includeSubDomains).
            let year = HeaderValue::from_static("max-age=31536000");
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
    Ok(response.map_body(|_, body| Pieces::of(body)))
}

thread_local! {
    static PATTERNS: RefCell<HashSet<&'static str>> = RefCell::default();
}

/// The pattern that the request matched, for ever: there are as many as routes, and labels have to outlive the request.
fn route(request: &HttpRequest) -> &'static str {
    PATTERNS.with_borrow_mut(|known| {
        // Most patterns are paths, and only for the others are all of them tried once more.
        if let Some(pattern) = known.get(request.path()) {
            return *pattern;
        }
        let Some(pattern) = request.match_pattern() else { return "unmatched" };
        known.get(pattern.as_str()).copied().unwrap_or_else(|| {
            let kept: &'static str = Box::leak(pattern.into_boxed_str());
            known.insert(kept);
            kept
        })
    })
}
