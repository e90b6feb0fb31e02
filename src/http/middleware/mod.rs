//! What happens around every request: it is counted, and its answer is marked with its id.

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
    let method = metrics::method_name(request.method().as_str());
    let mut response = next.call(request).await?;
    let route = response.request().match_pattern();
    let status = response.status().as_u16();
    metrics::request(route.as_deref().unwrap_or("(none)"), method, status, started.elapsed());
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
