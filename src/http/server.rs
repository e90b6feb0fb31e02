//! The listener: binds, serves until told to stop, finishes what is in flight.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use actix_web::dev;
use rustls::ServerConfig;

use super::{
    connections::{self, Connections},
    listener, routes,
    tls::{self, Certificate},
};
use crate::{app::App, config, failure::Stop};

/// A bound server that has not begun to serve, or is serving.
pub struct Server {
    inner: dev::Server,
    address: SocketAddr,
}

impl Server {
    /// Binds `config.listen`.
    pub fn bind(app: Arc<App>) -> Result<Self, Stop> {
        let listen = app.config.listen;
        let tls = app.config.tls.as_ref().map(|settings| certificate(&app, settings)).transpose()?;
        let (workers, patience) = (app.config.server.workers, app.config.server.shutdown_timeout.num_seconds());
        let connections = Connections::new(
            app.config.server.connections_per_source,
            connections::most_in_all(),
            app.config.trusted_proxies.clone(),
        );
        let builder = dev::Server::build()
            .workers(workers)
            .shutdown_timeout(u64::try_from(patience).unwrap_or(10))
            .disable_signals();
        let listening = || {
            let socket = listener::bind(listen)?;
            let address = socket.local_addr()?;
            let inner = listener::serve(builder, socket, tls, connections, move || {
                if let Err(stop) = app.db.adopt_thread() {
                    tracing::error!(%stop, "this worker shares connections with the others");
                }
                routes::application(app.clone())
            })?;
            Ok(Self { inner, address })
        };
        listening().map_err(|error| cannot_listen(listen, &error))
    }

    /// Where it listens: tells the port where `listen` left it open.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves, then finishes the requests in flight.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Stop> {
        let handle = self.inner.handle();
        let serving = self.inner;
        futures_util::pin_mut!(stop);
        let stopping = async move {
            stop.await;
            handle.stop(true).await;
        };
        let (served, ()) = futures_util::future::join(serving, stopping).await;
        served.map_err(|error| Stop::new(format_args!("serving failed: {error}")))
    }
}

/// Reads the certificate, and keeps it where a job and SIGHUP read it again.
fn certificate(app: &App, settings: &config::Tls) -> Result<ServerConfig, Stop> {
    let certificate = Certificate::read(settings)?;
    let tls = tls::server_config(certificate.clone())?;
    // A second listener of the same application does not happen.
    let _ = app.certificate.set(certificate);
    Ok(tls)
}

/// Why an address cannot be listened on, for whoever starts a server.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> Stop {
    Stop::new(format_args!("cannot listen on {address}: {error}")).mend("is another server running there? choose another port with `listen` and `issuer`, or MOORING_LISTEN and MOORING_ISSUER")
}
