//! The JWKS (RFC 7517 §5).

use actix_web::{HttpResponse, http::header, web::Data};

use crate::{app::App, http::cors, tokens::JWKS_MAX_AGE};

pub async fn jwks(app: Data<App>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/jwk-set+json"))
        // A new key signs only after so long: nobody ever sees a signature by a key they have not got.
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", JWKS_MAX_AGE.num_seconds())))
        .insert_header(cors::EVERYONE)
        .body(app.mint.keys.jwks().to_string())
}
