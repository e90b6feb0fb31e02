//! Accepts connections: counts each before it costs anything, speaks TLS if it should, and bounds what it can make us hold.

use std::{
    fmt::Debug,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{HttpService, Protocol, Request, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Extensions, Response, Server, Service, ServiceFactory},
    rt::net::TcpStream,
};
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    bounded::{Bounded, PIECE},
    connections::{Connections, Counted},
};

/// How long the head of a request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(4);

/// How long a connection is kept while the next request is waited for.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long the end of a connection may take.
const CLOSING: Duration = Duration::from_secs(1);

/// What the kernel holds of each direction of a connection. It would take up to some MiB, of those who read nothing, too.
const KERNEL_BUFFER: usize = 128 * 1024;

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1024;

/// Binds an address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    // Connections inherit them.
    sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER)?;
    sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Serves the application that `factory` makes, once for each worker.
pub fn serve<F, I, S, B>(
    builder: ServerBuilder,
    listener: TcpListener,
    tls: Option<ServerConfig>,
    connections: Arc<Connections>,
    factory: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let stopping = builder.graceful_shutdown_signal();
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let builder = builder.listen("http", listener, move || {
        let (stopping, tls, connections) = (stopping.clone(), tls.clone(), connections.clone());
        let application = factory().into_factory().map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(PATIENCE)
            .client_disconnect_timeout(CLOSING)
            .h1_write_buffer_size(PIECE)
            .on_connect_ext(|connection: &Connection, kept: &mut Extensions| drop(kept.insert(connection.gate())))
            .finish(map_config(application, |()| AppConfig::default()));
        fn_service(move |stream| accept(stream, tls.clone(), connections.clone())).and_then(http)
    })?;
    Ok(builder.run())
}

/// What HTTP is spoken over.
type Connection = Bounded<Wire, Counted>;

async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
) -> Result<(Connection, Protocol, Option<SocketAddr>), DispatchError> {
    let peer = stream.peer_addr().map_err(DispatchError::Io)?;
    let Some(counted) = connections.count(peer.ip().to_canonical()) else {
        connections.refuse(stream, tls.is_some()).await;
        return Err(DispatchError::Io(io::ErrorKind::ConnectionRefused.into()));
    };
    // An answer is one write, or several of whole buffers.
    stream.set_nodelay(true).map_err(DispatchError::Io)?;
    let wire = match tls {
        None => Wire::Plain(stream),
        Some(tls) => {
            let shaken = timeout(HANDSHAKE, tls.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut.into());
            Wire::Tls(Box::new(shaken.and_then(|shaken| shaken).map_err(DispatchError::Io)?))
        }
    };
    Ok((Bounded::new(wire, counted), Protocol::Http1, Some(peer)))
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
