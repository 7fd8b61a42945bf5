//! An upstream that agreed to go on in another protocol: from here on there are bytes, both ways, and nobody reads them.

use std::{
    cell::Cell,
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    time::sleep,
};

use super::{End, Ended, OnEnd};
use crate::proxy::upstream::Connection;

/// Of each direction, what is in memory at a time.
const BUFFER: usize = 16 << 10;

/// The upstream's end of a tunnel. It says once how the tunnel ended, however that comes.
pub struct Far {
    /// A tunnel is a request under way as long as it stands.
    connection: Option<Connection>,
    /// How long it may rest.
    idle: Duration,
    moved: Rc<Moved>,
    on_end: Option<OnEnd>,
}

/// Bytes that went through a tunnel.
#[derive(Debug, Default)]
struct Moved {
    from_client: Cell<u64>,
    to_client: Cell<u64>,
    broken: Cell<Option<End>>,
}

impl Far {
    pub(super) fn new(connection: Option<Connection>, idle: Duration, on_end: OnEnd) -> Self {
        Self { connection, idle, moved: Rc::default(), on_end: Some(on_end) }
    }

    /// Passes bytes on until both sides have said all, one of them breaks off, or nobody says anything for too long.
    /// What one side does not take, the other is not asked for. A side that has said all is told to the other, which may
    /// go on.
    pub async fn join<S: AsyncRead + AsyncWrite + Unpin>(mut self, near: S) {
        let mut connection = self.connection.take();
        let how = match connection.as_mut().and_then(Connection::bytes) {
            Some(far) => self.pass(near, far).await,
            None => End::UpstreamBroke,
        };
        self.end(how);
    }

    async fn pass<S, U>(&self, near: S, far: U) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let mut near = Counted { stream: near, moved: &self.moved };
        let mut far = Blamed { stream: far, moved: &self.moved };
        let mut passing = std::pin::pin!(copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER));
        let mut seen = self.moved.sum();
        loop {
            tokio::select! {
                outcome = &mut passing => {
                    let blamed = self.moved.broken.get();
                    return outcome.map_or(blamed.unwrap_or(End::ClientLeft), |_| End::Complete);
                }
                () = sleep(self.idle) => {
                    let now = self.moved.sum();
                    if now == seen {
                        return End::Idle;
                    }
                    seen = now;
                }
            }
        }
    }

    fn end(&mut self, how: End) {
        if let Some(on_end) = self.on_end.take() {
            let (bytes_in, bytes_out) = (self.moved.from_client.get(), self.moved.to_client.get());
            on_end.set(Some(Ended { bytes_in, bytes_out, how }));
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.end(End::ClientLeft);
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").field("idle", &self.idle).field("moved", &self.moved).finish_non_exhaustive()
    }
}

impl Moved {
    fn sum(&self) -> u64 {
        self.from_client.get().wrapping_add(self.to_client.get())
    }
}

fn add(sum: &Cell<u64>, count: usize) {
    sum.set(sum.get() + count as u64);
}

/// The client's end.
struct Counted<'a, S> {
    stream: S,
    moved: &'a Moved,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        add(&this.moved.from_client, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        add(&this.moved.to_client, count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// The upstream's end; it says when it was the one that broke.
struct Blamed<'a, S> {
    stream: S,
    moved: &'a Moved,
}

impl<S> Blamed<'_, S> {
    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &polled {
            self.moved.broken.set(Some(End::UpstreamBroke));
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Blamed<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Blamed<'_, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note(polled)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        this.note(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.note(polled)
    }
}
