//! A connection that holds little, whatever its peer does.
//!
//! Requests can be sent one after the other without an answer being read. The HTTP library reads and parses as many as come, and
//! each takes about a KiB of memory. Here it gets a few KiB at a time, and nothing while an answer waits to be taken by the peer, or while
//! a request is worked on, but for octets of its body that are waited for. A peer that takes no octet of an answer for
//! [`PATIENCE`] loses its connection.
//!
//! Invariant: what one connection makes us hold is bounded by a few KiB of requests and one piece of an answer.

use std::{
    cell::{Cell, RefCell},
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use actix_web::{
    HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a peer may take no octet of what is written to it.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// How many octets are read before requests in them are answered.
const TURN: usize = 2048;

/// How much of an answer is copied into the buffer of its connection at once, and how much may wait there when more is copied.
pub const PIECE: usize = 16 * 1024;

/// A connection with bounds; `K` is kept as long as it is.
pub struct Bounded<S, K> {
    inner: S,
    gate: Rc<Gate>,
    /// Octets of the next requests, read while the present one is worked on: that is how its end is noticed.
    ahead: Vec<u8>,
    /// The peer sends no more.
    is_ended: bool,
    /// How many octets were read in this turn.
    read: usize,
    /// Since when the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Reading was put off until the peer takes something.
    is_put_off: bool,
    _kept: K,
}

impl<S, K> Bounded<S, K> {
    pub fn new(inner: S, kept: K) -> Self {
        Self {
            inner,
            gate: Rc::default(),
            ahead: Vec::new(),
            is_ended: false,
            read: 0,
            stalled: None,
            is_put_off: false,
            _kept: kept,
        }
    }

    /// What requests of this connection close while they are worked on.
    pub fn gate(&self) -> Rc<Gate> {
        self.gate.clone()
    }

    /// Fails what made no progress for too long. Progress begins anew, and lets reading go on.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            if std::mem::take(&mut self.is_put_off) {
                context.waker().wake_by_ref();
            }
            return written;
        }
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin, K> Bounded<S, K> {
    /// Reads at most `most` octets; none: the peer sends no more.
    fn poll_some(
        &mut self,
        context: &mut Context<'_>,
        most: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); TURN];
        let mut buffer = ReadBuf::uninit(&mut space[..most.min(TURN)]);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads ahead a little, so that the end of the connection is noticed.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_ended && self.ahead.len() < TURN {
            let mut ahead = std::mem::take(&mut self.ahead);
            let room = TURN - ahead.len();
            let polled = self.poll_some(context, room, &mut |octets| ahead.extend_from_slice(octets));
            self.ahead = ahead;
            self.is_ended = ready!(polled)? == 0;
        }
        // What was sent before the end is read when the present request is answered.
        if self.is_ended && self.ahead.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<S: AsyncRead + Unpin, K: Unpin> AsyncRead for Bounded<S, K> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        if it.stalled.is_some() {
            it.is_put_off = true;
            return Poll::Pending;
        }
        if it.gate.is_closed() {
            it.gate.wait(context.waker());
            return it.poll_ahead(context);
        }
        if it.read >= TURN {
            // What was read is answered first.
            it.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let room = buffer.remaining().min(TURN - it.read);
        if !it.ahead.is_empty() {
            let ahead = it.ahead.len().min(room);
            buffer.put_slice(&it.ahead[..ahead]);
            it.ahead.drain(..ahead);
            if it.ahead.is_empty() {
                it.ahead = Vec::new();
            }
            it.read += ahead;
            return Poll::Ready(Ok(()));
        }
        if it.is_ended {
            return Poll::Ready(Ok(()));
        }
        let polled = it.poll_some(context, room, &mut |octets| buffer.put_slice(octets));
        match polled {
            Poll::Ready(Ok(read)) => it.read += read,
            Poll::Ready(Err(_)) | Poll::Pending => it.read = 0,
        }
        polled.map_ok(drop)
    }
}

impl<S: AsyncWrite + Unpin, K: Unpin> AsyncWrite for Bounded<S, K> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        let written = Pin::new(&mut it.inner).poll_write(context, octets);
        it.watch(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        let flushed = Pin::new(&mut it.inner).poll_flush(context);
        it.watch(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        let closed = Pin::new(&mut it.inner).poll_shutdown(context);
        it.watch(context, closed)
    }
}

/// Closed while a request is worked on, unless octets of its body are waited for.
#[derive(Default)]
pub struct Gate {
    /// Of the request that is worked on: whether octets of its body are waited for.
    present: RefCell<Option<Rc<Cell<bool>>>>,
    waiting: RefCell<Option<Waker>>,
}

impl Gate {
    fn is_closed(&self) -> bool {
        self.present.borrow().as_ref().is_some_and(|is_wanted| !is_wanted.get())
    }

    fn wait(&self, waker: &Waker) {
        *self.waiting.borrow_mut() = Some(waker.clone());
    }

    fn wake(&self) {
        if let Some(waiting) = self.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }

    /// A request begins to be worked on; it ends with what is returned.
    pub fn begin(request: &mut ServiceRequest) -> Option<Present> {
        let gate = request.conn_data::<Rc<Self>>()?.clone();
        let is_wanted = Rc::<Cell<bool>>::default();
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            request.set_payload(payload);
        } else {
            let watched = Watched { payload: Box::pin(payload), is_wanted: is_wanted.clone(), gate: gate.clone() };
            request.set_payload(Payload::Stream { payload: Box::pin(watched) });
        }
        *gate.present.borrow_mut() = Some(is_wanted);
        Some(Present(gate))
    }
}

/// A request that is worked on.
pub struct Present(Rc<Gate>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.present.borrow_mut().take();
        self.0.wake();
    }
}

/// The body of a request, which opens the gate while more of it is waited for.
struct Watched {
    payload: Pin<Box<Payload>>,
    is_wanted: Rc<Cell<bool>>,
    gate: Rc<Gate>,
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.payload.as_mut().poll_next(context);
        self.is_wanted.set(next.is_pending());
        if next.is_pending() {
            self.gate.wake();
        }
        next
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.is_wanted.set(false);
    }
}

/// A body that comes in pieces: each is copied into the buffer of its connection when the one before was written.
pub struct Pieces {
    body: BoxBody,
    rest: Bytes,
}

impl Pieces {
    pub fn of(body: impl MessageBody + 'static) -> Self {
        Self { body: body.boxed(), rest: Bytes::new() }
    }
}

impl MessageBody for Pieces {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(octets)) => self.rest = octets,
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_loses_its_connection() {
        let (ours, mut peer) = duplex(1024);
        let mut bounded = Bounded::new(ours, ());
        let written = bounded.write_all(&[0; 10_000]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        peer.read_exact(&mut [0; 1024]).await.unwrap();
    }

    #[tokio::test]
    async fn a_slow_peer_keeps_its_connection() {
        let (ours, mut peer) = duplex(1024);
        let mut bounded = Bounded::new(ours, ());
        let reading = async {
            for _ in 0..3 {
                sleep(PATIENCE.mul_f32(0.6)).await;
                peer.read_exact(&mut [0; 1024]).await.unwrap();
            }
            peer.read_to_end(&mut Vec::new()).await.unwrap();
        };
        let writing = async {
            bounded.write_all(&[0; 5000]).await.unwrap();
            drop(bounded);
        };
        futures_util::future::join(reading, writing).await;
    }

    #[tokio::test]
    async fn nothing_is_read_while_a_request_is_worked_on_but_the_end() {
        let (ours, mut peer) = duplex(64 * 1024);
        let mut bounded = Bounded::new(ours, ());
        let gate = bounded.gate();
        *gate.present.borrow_mut() = Some(Rc::default());
        let mut octets = [0; 8];
        let brief = Duration::from_millis(50);
        peer.write_all(&vec![7; 20_000]).await.unwrap();
        assert!(tokio::time::timeout(brief, bounded.read(&mut octets)).await.is_err());
        assert_eq!(bounded.ahead.len(), TURN);
        drop(Present(gate.clone()));
        drop(peer);
        let mut all = Vec::new();
        bounded.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 20_000);

        let (ours, peer) = duplex(64);
        let mut bounded = Bounded::new(ours, ());
        *bounded.gate().present.borrow_mut() = Some(Rc::default());
        drop(peer);
        assert_eq!(bounded.read(&mut octets).await.unwrap(), 0, "the end is noticed");
    }
}
