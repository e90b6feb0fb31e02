//! The demo API: one resource, behind the helper for resource servers.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::http::resource_server::{AccessToken, Refusal};

/// The scope that it takes to be greeted.
pub const SCOPE: &str = "hello:read";
/// Where the resource is.
pub const PATH: &str = "/api/hello";

pub fn routes(service: &mut web::ServiceConfig) {
    service.route(PATH, web::get().to(hello));
}

#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
async fn hello(token: AccessToken) -> Result<HttpResponse, Refusal> {
    token.require(SCOPE)?;
    let greeted = token.claims.get("username").and_then(|name| name.as_str()).or(token.subject.as_deref());
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(json!({
        "hello": greeted,
        "sub": token.subject,
        "sid": token.sid,
        "scope": token.scope.join(" "),
    })))
}
