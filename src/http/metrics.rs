//! The listener of `/metrics`, apart from the one of the product: figures are for the operator's network.

use std::{io, net::SocketAddr, sync::Arc};

use actix_web::{App as ActixApp, HttpResponse, dev, http::header, web};

use super::{connections::Connections, listener};
use crate::{app::App, metrics};

/// How many connections it takes, and how many of one source: few ask, and not often.
const MOST: usize = 256;
const MOST_OF_ONE: usize = 64;

/// A listener that answers.
pub struct MetricsServer {
    handle: dev::ServerHandle,
    address: SocketAddr,
}

impl MetricsServer {
    /// Begins to count, and to answer at `address`.
    pub fn start(address: SocketAddr, app: Arc<App>) -> io::Result<Self> {
        let socket = listener::bind(address)?;
        let address = socket.local_addr()?;
        metrics::install();
        let builder = dev::Server::build().workers(1).shutdown_timeout(1).disable_signals();
        let connections = Connections::new(MOST_OF_ONE, MOST, Vec::new());
        let server = listener::serve(builder, socket, None, connections, move || {
            ActixApp::new().app_data(web::Data::from(app.clone())).route("/metrics", web::get().to(figures))
        })?;
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
