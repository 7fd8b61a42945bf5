//! The client's connection, under hyper: what hyper reads over, and how a connection ends. HTTP/2 has a file of its own,
//! `frames`; the rest is about HTTP/1.
//!
//! Two things never show in the requests that hyper hands out. A `Content-Length` beside `Transfer-Encoding` is
//! dropped (the oldest form of request smuggling), and a `#` is cut off the target with what follows it. Both are
//! refused here as the bytes go by: they are framed a second time, only to know where heads begin. Where this
//! reading and hyper's differ, hyper refuses the request anyway, so a clean request is never refused by mistake.
//!
//! And a request that is answered before its body has come (401, 413) would be cut with a reset, which takes the
//! answer with it: the kernel resets a connection that is closed with bytes unread. So the rest of the body is
//! read and thrown away for a while, as nginx's `lingering_close` does.

mod frames;
mod framing;
mod refusal;

use std::{
    cell::Cell,
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Request;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use self::framing::Framing;
pub use self::{
    frames::{Frames, Heard},
    framing::Flaw,
    refusal::{Answers, Refusing, last_words},
};

/// A client's connection, to be given to hyper.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    framing: Framing,
    flaws: Arc<Flaws>,
    /// None until the sending side is shut.
    farewell: Option<Pin<Box<Sleep>>>,
}

/// Marks the requests of a connection that have a flaw; for its service, which hyper calls once for each request.
#[derive(Debug)]
pub struct Watch {
    requests: Cell<u64>,
    flaws: Arc<Flaws>,
}

/// What was found, by the number of the request. Empty on nearly every connection, so that nobody locks anything.
#[derive(Debug, Default)]
struct Flaws {
    any: AtomicBool,
    found: Mutex<VecDeque<(u64, Flaw)>>,
}

impl<S> Watched<S> {
    /// Watches a connection from its first byte; a head of more bytes than `head_bytes` is a flaw.
    pub fn new(stream: S, head_bytes: usize) -> (Self, Watch) {
        let flaws = Arc::<Flaws>::default();
        let watch = Watch { requests: Cell::new(0), flaws: Arc::clone(&flaws) };
        (Self { stream, framing: Framing::new(head_bytes), flaws, farewell: None }, watch)
    }

    /// The connection itself, to go on in another protocol.
    fn into_inner(self) -> S {
        self.stream
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.framing.read(bytes, |number, flaw| {
            self.flaws.found.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, flaw));
            self.flaws.any.store(true, Ordering::Release);
        });
    }

    /// Whether the client speaks a version of HTTP that we do not; hyper refuses it without saying so.
    const fn saw_strange_version(&self) -> bool {
        self.framing.saw_strange_version()
    }
}

impl Watch {
    /// Puts a flaw of this request where [`authority`](super::headers::authority) finds it. Call it first, and
    /// once for each request, in the order in which they come.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        let number = self.requests.get();
        self.requests.set(number + 1);
        if !self.flaws.any.load(Ordering::Acquire) {
            return;
        }
        let mut found = self.flaws.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.front().is_some_and(|(at, _)| *at == number)
            && let Some((_, flaw)) = found.pop_front()
        {
            request.extensions_mut().insert(flaw);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut watched.stream).poll_read(context, buffer))?;
        watched.saw(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    /// Says goodbye, and waits for what the client was in the middle of saying.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        if watched.farewell.is_none() {
            ready!(Pin::new(&mut watched.stream).poll_shutdown(context))?;
        }
        let mut rest = [0; 4096];
        while !watched.framing.is_between_messages() {
            let farewell = watched.farewell.get_or_insert_with(|| Box::pin(sleep(FAREWELL)));
            if farewell.as_mut().poll(context).is_ready() {
                break;
            }
            let mut rest = ReadBuf::new(&mut rest);
            match ready!(Pin::new(&mut watched.stream).poll_read(context, &mut rest)) {
                // No request of it is ever asked about.
                Ok(()) if !rest.filled().is_empty() => watched.framing.read(rest.filled(), |_, _| {}),
                // The client closed as well, or is gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How long the rest of an unwanted body is waited for.
const FAREWELL: Duration = Duration::from_secs(5);
