//! Cancels what PostgreSQL still does on a connection that was given up: closing the connection alone lets a statement run to its
//! end, with its locks.
//!
//! Only for a connection on which nothing new is asked. PostgreSQL answers no cancel request, and one that arrives between two
//! statements does nothing; so it is sent again until the connection is closed, a few times.
//!
//! Whoever takes the request closes its connection first, as libpq has it: PgBouncer 1.18 stops altogether (`bad client state`)
//! where the caller does while it passes the request on. The driver closes at once, so its stream is made to wait ([`Patient`]).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{TryFutureExt as _, future::MapOk};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_postgres::{
    CancelToken,
    tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream},
};

use super::target::Target;

/// How long a cancel request may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long behind a pooler: longer than PgBouncer lets a request wait (`cancel_wait_timeout` is ten seconds).
const POOLERS_PATIENCE: Duration = Duration::from_secs(12);

/// How long each request is given to have its effect.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];

/// What it takes to cancel what runs on one connection.
pub(super) struct Canceller {
    target: Arc<Target>,
    token: CancelToken,
    /// Set when the connection is closed.
    closed: Arc<AtomicBool>,
    /// Whether requests are being sent.
    busy: Arc<AtomicBool>,
}

impl Canceller {
    pub(super) fn new(target: Arc<Target>, token: CancelToken, closed: Arc<AtomicBool>) -> Self {
        Self { target, token, closed, busy: Arc::default() }
    }

    /// Cancels in a task of its own. Does nothing where that is under way, and where the runtime has stopped.
    pub(super) fn start(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.busy.swap(true, Ordering::Relaxed) {
            return;
        }
        let (target, token) = (self.target.clone(), self.token.clone());
        let (closed, busy) = (self.closed.clone(), self.busy.clone());
        runtime.spawn(async move {
            for pause in PAUSES {
                if closed.load(Ordering::Relaxed) || !send(&target, &token).await {
                    break;
                }
                sleep(pause).await;
            }
            busy.store(false, Ordering::Relaxed);
        });
    }
}

/// `false`: it could not be sent.
async fn send(target: &Target, token: &CancelToken) -> bool {
    let patience = if target.is_pooled() { POOLERS_PATIENCE } else { PATIENCE };
    let why = match timeout(patience, target.cancel(token)).await {
        Ok(Ok(())) => return true,
        Ok(Err(why)) => why,
        Err(_) => "the database does not answer".to_owned(),
    };
    tracing::debug!(%why, "a statement that nobody waits for could not be cancelled");
    false
}

/// A connection that is closed by the other side: to shut it down is to wait for that.
pub(super) struct Patient<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut octets = [0; 64];
            let mut buffer = ReadBuf::new(&mut octets);
            let read = ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer));
            // However it ended, it is closed.
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for Patient<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// TLS over which a [`Patient`] waits.
pub(super) struct PatientTls<T>(pub(super) T);

impl<S, T: MakeTlsConnect<S>> MakeTlsConnect<S> for PatientTls<T> {
    type Stream = Patient<T::Stream>;
    type TlsConnect = PatientTls<T::TlsConnect>;
    type Error = T::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Self::TlsConnect, T::Error> {
        self.0.make_tls_connect(domain).map(PatientTls)
    }
}

impl<S, T: TlsConnect<S>> TlsConnect<S> for PatientTls<T> {
    type Stream = Patient<T::Stream>;
    type Error = T::Error;
    type Future = MapOk<T::Future, fn(T::Stream) -> Patient<T::Stream>>;

    fn connect(self, stream: S) -> Self::Future {
        let patient: fn(T::Stream) -> Patient<T::Stream> = Patient;
        self.0.connect(stream).map_ok(patient)
    }
}
