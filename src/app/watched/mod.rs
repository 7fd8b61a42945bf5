//! A client's connection to one of the ports beside the gateway's, under hyper: what hyper reads over, and how a connection
//! ends. What the gateway's port reads for itself (`proxy/wire`) is refused here alike.
//!
//! Two things never show in the requests that hyper hands out. A `Content-Length` beside `Transfer-Encoding` is
//! dropped (the oldest form of request smuggling), and a `#` is cut off the target with what follows it. Both are
//! refused here as the bytes go by: they are framed a second time, only to know where heads begin. Where this
//! reading and hyper's differ, hyper refuses the request anyway, so a clean request is never refused by mistake.
//!
//! And a request that is answered before its body has come (401, 413) would be cut with a reset, which takes the
//! answer with it: the kernel resets a connection that is closed with bytes unread. So the rest of the body is
//! read and thrown away for a while, as nginx's `lingering_close` does. Nothing that comes then is answered, so the answer
//! has to say that it is the last one (RFC 9112 section 9.6); hyper finds out only when the answer is on its way.

mod framing;
mod refusal;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
pub(super) use self::refusal::{Answers, Refusing, last_words};
use crate::proxy::wire::Flaw;

/// A client's connection, to be given to hyper.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    framing: Framing,
    seen: Arc<Seen>,
    /// None until the sending side is shut.
    farewell: Option<Pin<Box<Sleep>>>,
}

/// What is known of the requests of a connection beside what hyper says; for its service, which hyper calls once for each
/// request.
#[derive(Debug)]
pub(super) struct Watch {
    requests: AtomicU64,
    seen: Arc<Seen>,
}

/// What was seen, by the number of the request.
#[derive(Debug, Default)]
struct Seen {
    /// See [`Framing::whole`].
    whole: AtomicU64,
    flawed: AtomicBool,
    /// Empty on nearly every connection, so that nobody locks anything.
    flaws: Mutex<VecDeque<(u64, Flaw)>>,
}

impl<S> Watched<S> {
    /// Watches a connection from its first byte; a head of more bytes than `head_bytes` is a flaw.
    pub(super) fn new(stream: S, head_bytes: usize) -> (Self, Watch) {
        let seen = Arc::<Seen>::default();
        let watch = Watch { requests: AtomicU64::new(0), seen: Arc::clone(&seen) };
        (Self { stream, framing: Framing::new(head_bytes), seen, farewell: None }, watch)
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.framing.read(bytes, |number, flaw| {
            self.seen.flaws.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, flaw));
            self.seen.flawed.store(true, Ordering::Release);
        });
        self.seen.whole.store(self.framing.whole(), Ordering::Relaxed);
    }

    /// Whether the client speaks a version of HTTP that we do not; hyper refuses it without saying so.
    const fn saw_strange_version(&self) -> bool {
        self.framing.saw_strange_version()
    }
}

impl Watch {
    /// Puts a flaw of this request where [`authority_of`](crate::proxy::headers::authority_of) finds it; gives its number, from 0. Call
    /// it first, and once for each request, in the order in which they come.
    pub(super) fn mark<B>(&self, request: &mut Request<B>) -> u64 {
        // One after the other: nobody counts beside us.
        let number = self.requests.load(Ordering::Relaxed);
        self.requests.store(number + 1, Ordering::Relaxed);
        if !self.seen.flawed.load(Ordering::Acquire) {
            return number;
        }
        let mut flaws = self.seen.flaws.lock().unwrap_or_else(PoisonError::into_inner);
        if flaws.front().is_some_and(|(at, _)| *at == number)
            && let Some((_, flaw)) = flaws.pop_front()
        {
            request.extensions_mut().insert(flaw);
        }
        number
    }

    /// Whether hyper can read on behind this request when it is answered now. What has come whole and nobody wants hyper
    /// throws away by itself, unless it is in chunks; for anything more it closes the connection.
    pub(super) fn is_read(&self, number: u64) -> bool {
        self.seen.whole.load(Ordering::Relaxed) > number
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
