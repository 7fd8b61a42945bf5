//! HTTP as bytes: a client's connection of HTTP/1, and what both sides of the gateway share.
//!
//! - `head` reads requests, `answer` writes answers; they know nothing of sockets.
//! - [`Reading`] tells where a body ends, [`Sending`] writes a message so that it ends there: towards clients and upstreams
//!   alike.
//! - [`Wire`] is the connection, [`Content`] the body of its present request.
//! - [`Frames`] looks at a connection of HTTP/2 under the library that speaks it.
//!
//! Nobody drives a connection from beside: whoever waits for something polls it. While a body is under way that is whoever
//! takes the body, else the conversation, which so notices a client that leaves.
//!
//! A request that is answered before its body has come (401, 413) would be cut with a reset, which takes the answer with
//! it: the kernel resets a connection that is closed with bytes unread. So the rest of the body is read and thrown away for
//! a while, as nginx's `lingering_close` does. Nothing that comes then is answered, so the answer says that it is the last one
//! (RFC 9112 section 9.6).

pub mod answer;
mod content;
mod frames;
mod framing;
mod head;
pub mod names;
pub mod room;
mod sending;
#[cfg(test)]
mod tests;
mod whole;

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::room::{GULP, MOST};
pub use self::{
    content::{Broken, Content},
    frames::{Frames, Heard},
    framing::{Found, MOST_FIELDS, Reading, Unframed},
    head::{Bounds, Flaw, Head, Terms, Unreadable, is_worth_a_look, number},
    sending::{Framing, Sending, Unsendable, announced, field, has_option, length},
    whole::{Asked, End, Whole},
};

/// Something that bytes go through, both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// What is not written by now is lost, and the other side sees that it is.
    fn end_in_reset(&self) {}
}

/// A client's connection, on which one request follows the other.
pub struct Wire {
    stream: RefCell<Box<dyn Stream>>,
    /// What was read and is not part of anything yet.
    rest: RefCell<Bytes>,
    /// How the rest of the present request's body is told.
    reading: RefCell<Reading>,
    /// Where its bytes stopped making sense.
    is_lost: Cell<bool>,
    /// Whether its client waits for a word before it sends its body.
    expects: Cell<bool>,
    /// What of that word is not written; none: it is with the client, or nobody says it.
    word: Cell<Option<&'static [u8]>>,
    /// How much is read of a body at a time.
    gulp: Cell<usize>,
    /// Who waits for the body to be taken by somebody else.
    waiting: Cell<Option<Waker>>,
    /// Whether somebody may still take more of the body.
    is_taken: Cell<bool>,
}

impl Wire {
    /// A connection on which this was said already.
    pub fn new(stream: Box<dyn Stream>, said: Bytes) -> Rc<Self> {
        Rc::new(Self {
            stream: RefCell::new(stream),
            rest: RefCell::new(said),
            reading: RefCell::new(Reading::Done),
            is_lost: Cell::new(false),
            expects: Cell::new(false),
            word: Cell::new(None),
            gulp: Cell::new(GULP),
            waiting: Cell::new(None),
            is_taken: Cell::new(false),
        })
    }

    /// The next request's head; none: the client has closed between two requests, or in the middle of one.
    pub async fn head(&self, bounds: Bounds) -> io::Result<Option<Result<Head, Unreadable>>> {
        let mut looked_at = 0;
        poll_fn(|context| {
            loop {
                if is_worth_a_look(&self.rest.borrow(), looked_at, bounds.bytes) {
                    let mut fields = room::fields();
                    let mut rest = self.rest.borrow_mut();
                    let taken = head::take(&mut rest, bounds, &mut fields);
                    if !matches!(taken, Ok(None)) {
                        let_go(&mut rest);
                        return Poll::Ready(Ok(taken.transpose()));
                    }
                    room::keep_fields(fields);
                    if looked_at == 0 {
                        // It may stand for a while, and must not keep what others were read into.
                        *rest = Bytes::copy_from_slice(&rest);
                    }
                    looked_at = rest.len();
                }
                if ready!(self.poll_fill(GULP, context))? == 0 {
                    return Poll::Ready(Ok(None));
                }
            }
        })
        .await
    }

    /// Whether a head has begun to come.
    pub fn has_begun(&self) -> bool {
        !self.rest.borrow().is_empty()
    }

    /// A request begins: its body, for whoever wants it.
    pub fn begin(self: &Rc<Self>, reading: Reading, expects: bool) -> Content {
        self.expects.set(expects);
        self.gulp.set(GULP);
        self.reading.replace(reading);
        Content::new(self)
    }

    /// Whether another request can be read behind the present one if it is answered now: what has come whole and nobody
    /// wants is thrown away, unless it is in chunks.
    pub fn is_read(&self) -> bool {
        if self.is_lost.get() {
            return false;
        }
        match &*self.reading.borrow() {
            Reading::Done => true,
            Reading::Length(left) => *left <= self.rest.borrow().len() as u64,
            Reading::Chunked(_) | Reading::Close => false,
        }
    }

    /// Throws away what nobody wants of a body that has come whole.
    pub fn skip(&self) {
        if let Reading::Length(left) = self.reading.replace(Reading::Done) {
            let mut rest = self.rest.borrow_mut();
            let count = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
            drop(rest.split_to(count));
            let_go(&mut rest);
        }
    }

    /// Completes when the client is gone. Nobody is to ask while a body is taken; bytes of another request are kept.
    pub fn poll_gone(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_taken.get() {
            self.waiting.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        // Whatever has come, an end behind it is not seen before it is read.
        if self.has_begun() {
            return Poll::Pending;
        }
        match ready!(self.poll_fill(GULP, context)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Completes when nobody will take any more of the present body.
    pub async fn is_let_be(&self) {
        poll_fn(|context| {
            if !self.is_taken.get() {
                return Poll::Ready(());
            }
            self.waiting.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Sends a message to its end, as long as the client is there. What was not sent is lost with the connection.
    pub async fn send<B>(&self, sending: &mut Sending<B>) -> Result<(), Unsendable>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        // It does not need to be said any more.
        self.expects.set(false);
        poll_fn(|context| {
            ready!(self.poll_word(context)).map_err(Unsendable::Connection)?;
            match sending.poll(&self.stream, context) {
                Poll::Pending => self.poll_gone(context).map(|()| Err(gone())),
                sent @ Poll::Ready(_) => sent,
            }
        })
        .await
    }

    /// Says goodbye, and waits for what the client was in the middle of saying.
    pub async fn leave(&self) -> io::Result<()> {
        poll_fn(|context| Pin::new(&mut **self.stream.borrow_mut()).poll_shutdown(context)).await?;
        let listening = poll_fn(|context| {
            while !self.is_between_messages() {
                match ready!(self.poll_fill(GULP, context)) {
                    // No request of it is ever asked about.
                    Ok(1..) => self.throw_away(),
                    // The client closed as well, or is gone.
                    Ok(0) | Err(_) => break,
                }
            }
            Poll::Ready(())
        });
        let _ = tokio::time::timeout(FAREWELL, listening).await;
        Ok(())
    }

    /// Nothing that comes now makes sense.
    pub fn lose(&self) {
        self.is_lost.set(true);
    }

    /// What is not written by now is lost, and the client sees that it is.
    pub fn end_in_reset(&self) {
        // Whoever panics while it writes ends it, too.
        if let Ok(stream) = self.stream.try_borrow() {
            stream.end_in_reset();
        }
    }

    fn is_between_messages(&self) -> bool {
        !self.is_lost.get() && self.reading.borrow().is_done() && self.rest.borrow().is_empty()
    }

    fn throw_away(&self) {
        let (mut rest, mut reading) = (self.rest.borrow_mut(), self.reading.borrow_mut());
        while !self.is_lost.get() {
            match reading.take(&mut rest) {
                Ok(Found::Frame(_)) => {}
                Ok(Found::Nothing | Found::End) => break,
                Err(_) => self.is_lost.set(true),
            }
        }
        *rest = Bytes::new();
    }

    /// The next piece of the body.
    fn poll_content(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Broken>>> {
        let mut reading = self.reading.borrow_mut();
        loop {
            if self.is_lost.get() {
                return Poll::Ready(Some(Err(Broken)));
            }
            let found = {
                let mut rest = self.rest.borrow_mut();
                let found = reading.take(&mut rest);
                let_go(&mut rest);
                found
            };
            match found {
                Ok(Found::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Found::End) => return Poll::Ready(None),
                Ok(Found::Nothing) => {}
                Err(_) => {
                    self.is_lost.set(true);
                    continue;
                }
            }
            if self.expects.take() {
                self.word.set(Some(b"HTTP/1.1 100 Continue\r\n\r\n"));
            }
            let said = self.poll_word(context);
            let room = match &*reading {
                Reading::Length(left) => room::piece(*left).max(LEAST),
                _ => self.gulp.get(),
            };
            match (said, self.poll_fill(room, context)) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Ok(0) | Err(_))) => self.is_lost.set(true),
                (_, Poll::Ready(Ok(count))) if count >= self.gulp.get() => self.gulp.set(MOST),
                (_, Poll::Ready(Ok(_))) => {}
                (_, Poll::Pending) => return Poll::Pending,
            }
        }
    }

    /// Says what the client waits for, as far as that is not said.
    fn poll_word(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut word) = self.word.get() else { return Poll::Ready(Ok(())) };
        let mut stream = self.stream.borrow_mut();
        while !word.is_empty() {
            let count = ready!(Pin::new(&mut **stream).poll_write(context, word))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            word = &word[count..];
            self.word.set(Some(word));
        }
        // Inside TLS it is not with the client before that.
        ready!(Pin::new(&mut **stream).poll_flush(context))?;
        self.word.set(None);
        Poll::Ready(Ok(()))
    }

    /// Reads what is there behind `rest`, some `room` bytes at most; 0: the client has said all.
    fn poll_fill(&self, room: usize, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let fresh = ready!(room::read(&mut *self.stream.borrow_mut(), room, context))?;
        let count = fresh.len();
        let mut rest = self.rest.borrow_mut();
        if rest.is_empty() {
            *rest = fresh;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut *rest));
            joined.extend_from_slice(&fresh);
            *rest = joined.freeze();
        }
        Poll::Ready(Ok(count))
    }
}

/// What nothing is left of holds no memory.
fn let_go(rest: &mut Bytes) {
    if rest.is_empty() {
        *rest = Bytes::new();
    }
}

fn gone() -> Unsendable {
    Unsendable::Connection(io::Error::new(io::ErrorKind::ConnectionAborted, "the client left"))
}

/// A connection that goes on in another protocol: its bytes, beginning with those that came behind the last request.
impl AsyncRead for &Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        if rest.is_empty() {
            return Pin::new(&mut **self.stream.borrow_mut()).poll_read(context, buffer);
        }
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest.split_to(count));
        let_go(&mut rest);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.stream.borrow_mut()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.stream.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.stream.borrow_mut()).poll_shutdown(context)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("reading", &self.reading).finish_non_exhaustive()
    }
}

/// The least, so that what follows a short body is seen with it.
const LEAST: usize = 1 << 10;
/// How long the rest of an unwanted body is waited for.
const FAREWELL: Duration = Duration::from_secs(5);
