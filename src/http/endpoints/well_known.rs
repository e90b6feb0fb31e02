//! Addresses that password managers know by heart. They lie at the root of the host, whatever the issuer's path (RFC 8615 §3).

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;

use crate::{
    app::App,
    http::{cors, extract::Visit, render::answer},
};

/// W3C, A Well-Known URL for Changing Passwords.
pub const CHANGE_PASSWORD: &str = "/.well-known/change-password";
/// W3C, A Well-Known URL for Relying Party Passkey Endpoints.
pub const PASSKEY_ENDPOINTS: &str = "/.well-known/passkey-endpoints";

#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
pub async fn change_password(app: Data<App>) -> HttpResponse {
    answer::see_other(&app.config.issuer.url("/account/password"))
}

/// Where a person adds a passkey, and where they look after those that they have: one page here.
#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
pub async fn passkey_endpoints(app: Data<App>, visit: Visit) -> HttpResponse {
    if app.passkeys.is_none() {
        let message = "There is nothing at this address.";
        return answer::error_page(&app, &visit, StatusCode::NOT_FOUND, "Not found", message, None, None);
    }
    let page = app.config.issuer.url("/account#passkeys");
    HttpResponse::Ok().insert_header(cors::EVERYONE).json(json!({ "enroll": page, "manage": page }))
}
