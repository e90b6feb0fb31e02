//! The demo API: two resources behind the helper for resource servers, one of them privileged.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::{
    http::resource_server::{AccessToken, Protect, Refusal, Requirement, ResourceServer, Work},
    jose::{base64url, random_bytes},
};

/// The scope that it takes to be greeted.
pub const SCOPE: &str = "hello:read";
/// The scope that it takes to move money.
pub const PRIVILEGED_SCOPE: &str = "payments:write";
/// Where the resources are.
pub const PATH: &str = "/api/hello";
pub const PAYMENTS: &str = "/api/payments";

/// A passkey, shown in the last five minutes.
const PAYMENT: Requirement = Requirement::scope(PRIVILEGED_SCOPE).acr("phr").max_age(300);

pub fn routes(service: &mut web::ServiceConfig) {
    service
        .route(PATH, web::get().to(hello))
        .service(web::resource(PAYMENTS).wrap(Protect(PAYMENT)).route(web::post().to(pay)));
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

/// No payment without its place in the timeline of the session.
async fn pay(token: AccessToken, server: web::Data<ResourceServer>) -> Result<HttpResponse, Refusal> {
    let payment = base64url(&random_bytes::<6>());
    let object = format!("payment/{payment}");
    let work =
        Work { action: "payment.create", object: Some(&object), outcome: Some("done"), trace_id: Some(&payment) };
    server.report(&token, &work).await?;
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(json!({
        "paid": "1.00",
        "payment": payment,
        "sub": token.subject,
        "sid": token.sid,
        "acr": token.acr,
        "session": token.claims.get("session"),
    })))
}
