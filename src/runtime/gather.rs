//! Writes of one turn, sent together.
//!
//! Who speaks HTTP/2 writes frame by frame: each piece of each stream by itself, however many are ready at the same moment.
//! Every such write would be a call to the kernel, and a record of its own inside TLS. Here they wait for each other until
//! whoever runs the connection has nothing more to say, and says so ([`Outlet::poll_flush`]).
//!
//! Nothing waits longer than that turn, and never more than 16 KiB; what is larger than a gathering is worth goes
//! through without being copied.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What waits at most, in bytes: as much as a record of TLS holds.
const ROOM: usize = 16 << 10;
/// Pieces from here on are not gathered when nothing waits before them.
const LARGE: usize = 8 << 10;

/// A connection that keeps what is written to it until its [`Outlet`] is opened, or until it is too much.
#[derive(Debug)]
pub struct Gathering<S>(Rc<Shared<S>>);

/// The other handle of it, for whoever runs the connection. It does not keep it open.
#[derive(Debug)]
pub struct Outlet<S>(Weak<Shared<S>>);

#[derive(Debug)]
struct Shared<S> {
    inner: RefCell<Inner<S>>,
    /// How often something has come.
    heard: Cell<u64>,
}

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    waiting: Vec<u8>,
    /// So much of it is out.
    sent: usize,
    /// What was to go out last did not, or not all of it.
    stuck: bool,
}

impl<S> Gathering<S> {
    /// Both handles of a connection.
    pub fn new(stream: S) -> (Self, Outlet<S>) {
        let inner = RefCell::new(Inner { stream, waiting: Vec::new(), sent: 0, stuck: false });
        let shared = Rc::new(Shared { inner, heard: Cell::new(0) });
        let outlet = Outlet(Rc::downgrade(&shared));
        (Self(shared), outlet)
    }
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// Sends what waits. Call it at the end of each turn in which the connection may have been written to, from the task
    /// that writes to it: the connection wakes one task.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.upgrade().map_or(Poll::Ready(Ok(())), |shared| shared.inner.borrow_mut().poll_flush(context))
    }

    /// The same at the end of a turn that had this outcome.
    pub fn poll_turn<T>(
        &self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match self.poll_flush(context) {
            Poll::Ready(Err(error)) if outcome.is_pending() => Poll::Ready(Err(error)),
            _ => outcome,
        }
    }

    /// Whether something is to go out that the other side has not taken yet.
    pub fn is_stuck(&self) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.inner.borrow().stuck)
    }

    /// Grows with everything that comes.
    pub fn heard(&self) -> u64 {
        self.0.upgrade().map_or(0, |shared| shared.heard.get())
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Writes what waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.waiting.len() {
            let polled = Pin::new(&mut self.stream).poll_write(context, &self.waiting[self.sent..]);
            self.stuck = polled.is_pending();
            let count = ready!(polled)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        // A connection on which nothing is said holds nothing.
        (self.waiting, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Makes room for pieces of that size; whether they are to be gathered.
    fn poll_room(&mut self, length: usize, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.waiting.is_empty() && self.waiting.len() + length > ROOM {
            ready!(self.poll_send(context))?;
        }
        Poll::Ready(Ok(!self.waiting.is_empty() || length < LARGE))
    }

    fn gather(&mut self, piece: &[u8]) {
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(ROOM);
        }
        self.waiting.extend_from_slice(piece);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathering<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.0.inner.borrow_mut().stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.0.heard.set(self.0.heard.get().wrapping_add(1));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathering<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.inner.borrow_mut();
        if ready!(inner.poll_room(bytes.len(), context))? {
            inner.gather(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut inner.stream).poll_write(context, bytes);
        inner.stuck = polled.is_pending();
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.inner.borrow_mut();
        let length = parts.iter().map(|part| part.len()).sum();
        if ready!(inner.poll_room(length, context))? {
            for part in parts {
                inner.gather(part);
            }
            return Poll::Ready(Ok(length));
        }
        let polled = Pin::new(&mut inner.stream).poll_write_vectored(context, parts);
        inner.stuck = polled.is_pending();
        polled
    }

    /// Whoever writes may put pieces together without copying them first.
    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What waits goes out at the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.inner.borrow_mut();
        ready!(inner.poll_flush(context))?;
        Pin::new(&mut inner.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A socket that takes so many bytes, and remembers in which pieces.
    #[derive(Debug, Default)]
    struct Socket {
        room: usize,
        pieces: Vec<usize>,
        bytes: Vec<u8>,
        shut: bool,
        broken: bool,
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            let count = this.room.min(bytes.len());
            if this.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if count == 0 {
                return Poll::Pending;
            }
            this.room -= count;
            this.pieces.push(count);
            this.bytes.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.get_mut().shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn with_room(room: usize) -> (Gathering<Socket>, Outlet<Socket>) {
        Gathering::new(Socket { room, ..Socket::default() })
    }

    /// How many bytes were taken, if any.
    fn write(gathering: &mut Gathering<Socket>, bytes: &[u8]) -> Option<usize> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(gathering).poll_write(&mut context, bytes) {
            Poll::Ready(count) => Some(count.unwrap()),
            Poll::Pending => None,
        }
    }

    fn flush(outlet: &Outlet<Socket>) -> bool {
        outlet.poll_flush(&mut Context::from_waker(Waker::noop())).map(Result::unwrap).is_ready()
    }

    fn pieces(gathering: &Gathering<Socket>) -> Vec<usize> {
        gathering.0.inner.borrow().stream.pieces.clone()
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_leaves_in_one_piece() {
        let (mut gathering, outlet) = with_room(usize::MAX);
        for word in ["head of one", "its body", "head of another"] {
            gathering.write_all(word.as_bytes()).await.unwrap();
            gathering.flush().await.unwrap();
        }
        assert!(pieces(&gathering).is_empty());
        assert!(flush(&outlet) && flush(&outlet));
        assert_eq!(pieces(&gathering), [34]);
        assert_eq!(gathering.0.inner.borrow().waiting.capacity(), 0, "what is out takes no memory");
        gathering.write_all(b"goodbye").await.unwrap();
        gathering.shutdown().await.unwrap();
        assert_eq!(pieces(&gathering), [34, 7]);
        assert!(gathering.0.inner.borrow().stream.shut);
    }

    #[test]
    fn large_pieces_go_through_and_nothing_overtakes() {
        let (mut gathering, outlet) = with_room(usize::MAX);
        let mut all = Vec::new();
        for (number, length) in [LARGE, 1, LARGE, LARGE, ROOM, 5, ROOM - 5, ROOM * 2].into_iter().enumerate()
        {
            let piece = vec![u8::try_from(number).unwrap(); length];
            assert_eq!(write(&mut gathering, &piece), Some(length));
            all.extend_from_slice(&piece);
        }
        assert!(flush(&outlet));
        assert_eq!(pieces(&gathering), [LARGE, 1 + LARGE, LARGE, ROOM, ROOM, ROOM * 2]);
        assert_eq!(gathering.0.inner.borrow().stream.bytes, all);
    }

    #[test]
    fn no_more_waits_than_there_is_room() {
        let (mut gathering, outlet) = with_room(3);
        let taken: usize = std::iter::from_fn(|| write(&mut gathering, &[7; 1000])).sum();
        assert_eq!(taken, ROOM / 1000 * 1000);
        assert!(!flush(&outlet));
        assert_eq!(pieces(&gathering), [3]);
        gathering.0.inner.borrow_mut().stream.room = usize::MAX;
        assert_eq!(write(&mut gathering, &[7; 1000]), Some(1000));
        assert!(flush(&outlet));
        assert_eq!(pieces(&gathering), [3, taken - 3, 1000]);
    }

    #[tokio::test]
    async fn a_fault_ends_a_turn_that_has_not_ended() {
        let (mut gathering, outlet) = with_room(0);
        gathering.0.inner.borrow_mut().stream.broken = true;
        gathering.write_all(b"lost").await.unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let ended = outlet.poll_turn(Poll::Ready(Ok(7)), &mut context).map_err(|error| error.kind());
        assert_eq!(ended, Poll::Ready(Ok(7)));
        let broken = outlet.poll_turn::<()>(Poll::Pending, &mut context).map_err(|error| error.kind());
        assert_eq!(broken, Poll::Ready(Err(io::ErrorKind::BrokenPipe)));
    }
}
