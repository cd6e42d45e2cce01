//! The bytes of one connection, with everything that must end it.
//!
//! A connection outlives the request that began it: Socket.IO takes it over
//! for a WebSocket. So what bounds it is bound to its bytes: its place among
//! the connections, the end of the bridge, and the patience with a client that
//! does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A stream that ends when it is cut off, or when the other side leaves
/// unread for too long what we send.
pub(crate) struct Connection<S> {
    stream: S,
    cut: CancellationToken,
    // Reading and writing may happen in different tasks, each to be woken.
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Duration,
    /// Set while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    /// `stream`, until `cut` is cancelled or a write has waited for `patience`.
    /// `place` is given back when the connection is dropped.
    pub(crate) fn new(
        stream: S,
        cut: CancellationToken,
        patience: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            stream,
            read_cut: Box::pin(cut.clone().cancelled_owned()),
            write_cut: Box::pin(cut.clone().cancelled_owned()),
            cut,
            patience,
            stalled: None,
            _place: place,
        }
    }

    /// What to do about a write that is not finished.
    fn waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.write_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(cut_off());
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(stalled.as_mut().poll(cx));
        // Whoever reads must learn of it too: it ends the connection.
        self.cut.cancel();
        let message = "the other side does not read";
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, message))
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        self.waiting(cx).map(Err)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut off")
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(cut_off()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::Semaphore;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn connection(
        room: usize,
    ) -> (Connection<DuplexStream>, DuplexStream, CancellationToken, Arc<Semaphore>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let (places, cut) = (Arc::new(Semaphore::new(1)), CancellationToken::new());
        let place = places.clone().try_acquire_owned().unwrap();
        (Connection::new(ours, cut.clone(), PATIENCE, place), theirs, cut, places)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_cut_off_after_the_patience() {
        let (mut ours, _theirs, cut, _) = connection(4);
        let before = Instant::now();
        let error = ours.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(before.elapsed(), PATIENCE);
        assert!(cut.is_cancelled());
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_cut_off() {
        let (mut ours, mut theirs, ..) = connection(4);
        let write = async { ours.write_all(&[7; 64]).await };
        let read = async {
            for _ in 0..64 {
                tokio::time::advance(PATIENCE / 2).await;
                theirs.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(write, read);
        written.unwrap();
    }

    #[tokio::test]
    async fn cutting_off_ends_reading_and_writing_and_gives_the_place_back() {
        let (ours, _theirs, cut, places) = connection(4);
        let (mut reader, mut writer) = tokio::io::split(ours);
        let read = async { reader.read_u8().await.unwrap_err().kind() };
        let write = async { writer.write_all(b"more than fits").await.unwrap_err().kind() };
        let cut = async { cut.cancel() };
        let (read, write, ()) = tokio::join!(read, write, cut);
        assert_eq!(read, io::ErrorKind::ConnectionAborted);
        assert_eq!(write, io::ErrorKind::ConnectionAborted);
        assert_eq!(places.available_permits(), 0);
        drop((reader, writer));
        assert_eq!(places.available_permits(), 1);
    }
}
