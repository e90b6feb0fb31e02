//! The listener of `/metrics`, apart from the one of the product: figures are for the operator's network.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{App as ActixApp, HttpResponse, HttpServer, dev, http::header, web};

use crate::{app::App, metrics};

/// A listener that answers.
pub struct MetricsServer {
    handle: dev::ServerHandle,
    address: SocketAddr,
}

impl MetricsServer {
    /// Begins to count, and to answer at `address`.
    pub fn start(address: SocketAddr, app: Arc<App>) -> io::Result<Self> {
        let server = HttpServer::new(move || {
            ActixApp::new().app_data(web::Data::from(app.clone())).route("/metrics", web::get().to(figures))
        })
        .workers(1)
        .shutdown_timeout(1)
        .disable_signals()
        .bind(address)?;
        let address = server.addrs().first().copied().unwrap_or(address);
        metrics::install();
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { handle, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops without waiting for those who read.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn figures(app: web::Data<App>) -> HttpResponse {
    metrics::database(app.db.pool_status(), app.db.statements());
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(metrics::render())
}
