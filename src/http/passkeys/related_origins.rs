//! Which other origins' pages may use the passkeys of this server (WebAuthn Level 3 §5.11).

use actix_web::{HttpResponse, web::Data};
use serde_json::json;

use crate::{app::App, http::cors};

/// Where browsers look for it: at the root of the host that passkeys belong to, whatever the issuer's path.
pub const PATH: &str = "/.well-known/webauthn";

pub async fn get(app: Data<App>) -> HttpResponse {
    let origins = &app.config.passkeys.related_origins;
    HttpResponse::Ok().insert_header(cors::EVERYONE).json(json!({ "origins": origins }))
}
