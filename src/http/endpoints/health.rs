//! Liveness and readiness.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde_json::json;

use crate::{
    app::App,
    db::{health, migrations, partitions},
    failure::Broken,
    http::{extract::Visit, render::json},
};

/// How long whoever asks whether it is ready waits for the database: they may give up soon, and a no is an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// The process answers.
pub async fn healthz() -> HttpResponse {
    json::private(StatusCode::OK, &json!({ "status": "ok" }))
}

/// It can do its work: a database that takes what is written, migrations, partitions ahead, keys.
pub async fn readyz(app: Data<App>, visit: Visit) -> HttpResponse {
    let looked = app
        .db
        .within(PATIENCE)
        .work(visit.now, &visit.trace, async |tx| {
            health::try_write(tx).await?;
            Ok::<_, Broken>((migrations::load_pending(tx).await?, partitions::load_missing(tx).await?))
        })
        .await;
    if let Err(broken) = &looked {
        tracing::warn!(%broken, "not ready");
    }
    let keys = app.mint.keys.are_complete(visit.now);
    let migrations = looked.as_ref().is_ok_and(|(pending, _)| pending.is_empty());
    let partitions = looked.as_ref().is_ok_and(|(_, missing)| missing.is_empty());
    let ready = migrations && partitions && keys;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json::private(
        status,
        &json!({ "ready": ready, "database": looked.is_ok(), "partitions": partitions, "migrations": migrations, "keys": keys }),
    )
}
