//! A connection to PostgreSQL on this machine that is woken by its answers alone.
//!
//! Linux says of a Unix-domain socket that it can be written to each time the other side has read from it. A stream is registered
//! for both directions, so each statement would wake the server twice: when PostgreSQL takes it in, and when it answers. Waking is the
//! dearest part of a short statement, for both of them. This one waits for what can be read, and for room only while there is none.

use std::{
    io::{self, IoSlice, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
};

/// A connected socket, by three names of it.
pub(super) struct Socket {
    /// What is registered for reading: to a program a socket that is only read is the end of a pipe.
    reading: pipe::Receiver,
    writing: UnixStream,
    /// What is registered for writing, while there is no room.
    full: Option<pipe::Sender>,
}

impl Socket {
    /// Connects to the socket at `path`.
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        let writing = tokio::net::UnixStream::connect(path).await?.into_std()?;
        let reading = pipe::Receiver::from_owned_fd_unchecked(writing.try_clone()?.into())?;
        Ok(Self { reading, writing, full: None })
    }

    /// The sender that waits for room.
    fn full(&mut self) -> io::Result<Pin<&mut pipe::Sender>> {
        let full = match self.full.take() {
            Some(full) => full,
            None => pipe::Sender::from_owned_fd_unchecked(self.writing.try_clone()?.into())?,
        };
        Ok(Pin::new(self.full.insert(full)))
    }

    fn written(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.full = None;
        }
        outcome
    }
}

fn has_to_wait(outcome: &io::Result<usize>) -> bool {
    let again = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
    outcome.as_ref().is_err_and(|error| again.contains(&error.kind()))
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = self.writing.write(octets);
        let outcome =
            if has_to_wait(&outcome) { self.full()?.poll_write(context, octets) } else { Poll::Ready(outcome) };
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.writing.write_vectored(parts);
        let outcome =
            if has_to_wait(&outcome) { self.full()?.poll_write_vectored(context, parts) } else { Poll::Ready(outcome) };
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.writing.shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::*;

    /// Far more than there is room for, in both directions at once; then the end.
    #[tokio::test]
    async fn what_is_written_arrives_however_slowly_it_is_read() {
        let path =
            std::env::temp_dir().join(format!("mooring-{}", crate::jose::base64url(&crate::jose::random_bytes::<8>())));
        let listener = UnixListener::bind(&path).unwrap();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
        let echo = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut reading, mut writing) = stream.split();
            let mut part = vec![0; 1000];
            loop {
                let read = reading.read(&mut part).await.unwrap();
                if read == 0 {
                    return;
                }
                writing.write_all(&part[..read]).await.unwrap();
            }
        };
        let talk = async {
            let (mut reading, mut writing) = tokio::io::split(Socket::connect(&path).await.unwrap());
            let mut received = Vec::new();
            let write = async {
                writing.write_all(&sent).await.unwrap();
                writing.shutdown().await.unwrap();
            };
            tokio::join!(write, async { reading.read_to_end(&mut received).await.unwrap() });
            assert!(received == sent, "{} octets came back", received.len());
        };
        tokio::join!(echo, talk);
        std::fs::remove_file(&path).unwrap();
    }
}
