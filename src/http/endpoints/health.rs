//! Liveness and readiness.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;

use crate::{
    app::App,
    db::{migrations, partitions},
    failure::Failure,
    http::{extract::Visit, render::json},
};

/// The process answers.
pub async fn healthz() -> HttpResponse {
    json::private(StatusCode::OK, &json!({ "status": "ok" }))
}

/// It can do its work: database, migrations, partitions ahead, keys.
pub async fn readyz(app: Data<App>, visit: Visit) -> HttpResponse {
    let database = app
        .db
        .single(visit.now, &visit.trace, async |tx| partitions::load_missing(tx).await.map_err(Failure::from))
        .await;
    let pending = migrations::pending(&app.db).await;
    let keys = app.mint.keys.are_complete(visit.now);
    let partitions = database.as_ref().is_ok_and(Vec::is_empty);
    let migrations = pending.as_ref().is_ok_and(Vec::is_empty);
    let ready = database.is_ok() && partitions && migrations && keys;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json::private(
        status,
        &json!({ "ready": ready, "database": database.is_ok(), "partitions": partitions, "migrations": migrations, "keys": keys }),
    )
}
