//! Liveness and readiness.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;

use crate::{
    app::App,
    http::{extract::Visit, render::json},
};

/// The process answers.
pub async fn healthz() -> HttpResponse {
    json::private(StatusCode::OK, &json!({ "status": "ok" }))
}

/// It can do its work: a database that takes what is written, migrations, partitions ahead, keys. `missing` names what is not there.
/// The answer is at most one second old.
pub async fn readyz(app: Data<App>, visit: Visit) -> HttpResponse {
    let found = app.readiness.look(app.clone().into_inner(), visit.now).await;
    let missing = found.missing();
    let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json::private(
        status,
        &json!({
            "ready": missing.is_empty(),
            "database": !found.no_database,
            "partitions": !found.no_database && found.partitions.is_empty(),
            "migrations": !found.no_database && found.migrations.is_empty(),
            "keys": !found.no_keys,
            "missing": missing,
        }),
    )
}
