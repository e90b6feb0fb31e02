//! The description of the admin API (OpenAPI 3.1), made from what stands beside each handler.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
    web::{Bytes, Data},
};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Server,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{events, sessions};
use crate::{app::App, http::cors};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mooring admin API",
        description = "Watch sessions, lock, unlock and end them; report what was done with a token.",
    ),
    paths(openapi, sessions::list, sessions::show, sessions::lock, sessions::unlock, sessions::end, events::post),
    modifiers(&Schemes),
)]
struct Document;

/// How callers show who they are.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = |scheme, said: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(scheme).description(Some(said)).build())
        };
        let bearer = "An access token of an administrator who stepped up for the scope.";
        components.add_security_scheme("bearer", scheme(HttpAuthScheme::Bearer, bearer));
        let basic = "Client authentication as at introspection; the other methods have members in the body.";
        components.add_security_scheme("client", scheme(HttpAuthScheme::Basic, basic));
    }
}

/// This document.
#[utoipa::path(
    get, path = "/hub/api/v1/openapi.json", tag = "document", operation_id = "readDescription", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object)),
)]
#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
pub async fn openapi(app: Data<App>) -> HttpResponse {
    HttpResponse::build(StatusCode::OK)
        .insert_header(("cache-control", "public, max-age=300"))
        .insert_header(cors::EVERYONE)
        .insert_header(ContentType::json())
        .body(app.description.get_or_init(|| written(app.config.issuer.as_str())).clone())
}

/// Long, and the same for everybody: it is made once, and answers share it.
fn written(issuer: &str) -> Bytes {
    let mut document = Document::openapi();
    document.servers = Some(vec![Server::new(issuer.trim_end_matches('/'))]);
    document.to_json().unwrap_or_default().into()
}
