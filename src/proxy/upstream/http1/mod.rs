//! HTTP/1.1 to a backend: one connection, one request at a time, nobody beside it.
//!
//! Whoever waits for the answer polls the connection: there is no task that drives it and nothing to hand over. An upload
//! that is still under way when the answer begins is the exception. It gets a task of its own, because a client may take
//! nothing of the answer until it has sent everything.
//!
//! - The request is written by `write` from headers that are prepared, in one piece with the beginning of its body.
//! - The answer's head is read by `head`, its body by [`Reading`]; they know nothing of sockets.
//! - A connection is used again only behind an answer that came to its end by its own framing, when all of the request was
//!   sent, nothing followed, and nobody said `close`; one that says anything while it is idle is closed.

mod error;
mod head;
#[cfg(test)]
mod tests;
mod upload;
mod whole;
mod write;

use std::{
    cell::RefCell,
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(in crate::proxy) use self::write::Outgoing;
pub use self::{error::AnswerError, whole::Whole};
use self::{head::LONGEST_HEAD, upload::Upload};
use crate::{
    proxy::{
        response::Response,
        wire::{
            Found, Reading, Unsendable, is_worth_a_look,
            room::{self, GULP, MOST, WHOLE},
        },
    },
    runtime::dial::Stream,
};

/// One connection.
pub(in crate::proxy) struct Line {
    stream: Rc<RefCell<Stream>>,
    /// What was read and is not part of anything yet.
    rest: Bytes,
    /// How long a head that is not whole was when it was looked at last.
    looked_at: usize,
    /// Interim answers to this request.
    interim: u32,
    /// How much to read at a time: who has sent much is asked for much, of the next answer too.
    gulp: usize,
    /// Whether it may carry another request, as far as is known.
    keeps: bool,
    /// Whether the other side takes no more of the request.
    refuses: bool,
    /// What is still sent although the answer has begun.
    upload: Option<Upload>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::proxy) enum NoAnswer {
    /// The connection was gone before a byte of the request had left.
    Unsent(io::Error),
    /// The request's body cannot be sent to its end.
    Body,
    /// The upstream may have seen the request.
    Bad(AnswerError),
}

impl Line {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: Rc::new(RefCell::new(stream)),
            rest: Bytes::new(),
            looked_at: 0,
            interim: 0,
            gulp: GULP,
            keeps: true,
            refuses: false,
            upload: None,
        }
    }

    /// Whether an idle connection is still what it was: open, and silent.
    pub(super) fn is_silent(&self) -> bool {
        self.stream.borrow_mut().is_silent()
    }

    /// Whether nothing is left of the last request and its answer, and another one may follow.
    pub(super) fn is_reusable(&self) -> bool {
        self.keeps && self.rest.is_empty() && self.upload.as_ref().is_none_or(Upload::is_done)
    }

    /// Holds no memory until it is used again.
    pub(super) fn fall_idle(&mut self) {
        (self.rest, self.upload) = (Bytes::new(), None);
        (self.looked_at, self.interim) = (0, 0);
    }

    /// Sends a request and reads the head of its answer. What is not sent by then goes on by itself.
    pub(super) fn poll_answer(
        &mut self,
        outgoing: &mut Outgoing,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Reading>, NoAnswer>> {
        if !self.refuses && !outgoing.is_sent() {
            match outgoing.poll(&self.stream, context) {
                Poll::Ready(Err(Unsendable::Body)) => return Poll::Ready(Err(NoAnswer::Body)),
                Poll::Ready(Err(Unsendable::Connection(error))) if outgoing.is_unsent() => {
                    return Poll::Ready(Err(NoAnswer::Unsent(error)));
                }
                // It may have answered nevertheless.
                Poll::Ready(Err(Unsendable::Connection(_))) => (self.keeps, self.refuses) = (false, true),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        self.poll_head(outgoing, context).map_err(NoAnswer::Bad)
    }

    fn poll_head(
        &mut self,
        outgoing: &mut Outgoing,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<Reading>, AnswerError>> {
        loop {
            if is_worth_a_look(&self.rest, self.looked_at, LONGEST_HEAD) {
                let found = head::take(&mut self.rest, &mut self.interim, outgoing.is_head())?;
                if let Some(head) = found {
                    return Poll::Ready(Ok(self.begin(head, outgoing)));
                }
                if self.looked_at == 0 {
                    // It may stand for a while, and must not keep what others were read into.
                    self.rest = Bytes::copy_from_slice(&self.rest);
                }
                self.looked_at = self.rest.len();
            }
            let fresh = ready!(self.poll_fill(self.gulp, context))?;
            if fresh.is_empty() {
                return Poll::Ready(Err(AnswerError::Cut));
            }
            if self.rest.is_empty() {
                self.rest = fresh;
            } else {
                let mut joined = BytesMut::from(std::mem::take(&mut self.rest));
                joined.extend_from_slice(&fresh);
                self.rest = joined.freeze();
            }
        }
    }

    /// The head is there.
    fn begin(&mut self, head: head::Head, outgoing: &mut Outgoing) -> Response<Reading> {
        self.keeps &= head.keeps;
        self.gulp = match &head.reading {
            Reading::Done => GULP,
            Reading::Length(length) if *length <= GULP as u64 => GULP,
            Reading::Length(length) if *length <= WHOLE as u64 => WHOLE,
            Reading::Length(_) => MOST,
            Reading::Chunked(_) | Reading::Close => self.gulp,
        };
        if !self.refuses && !outgoing.is_sent() {
            self.upload = Some(Upload::go_on(&self.stream, outgoing));
        }
        let head::Head { status, reason, fields, reading, keeps: _ } = head;
        Response { status, reason, fields, body: reading }
    }

    /// The next piece of the answer's body.
    pub(in crate::proxy) fn poll_frame(
        &mut self,
        reading: &mut Reading,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        loop {
            match reading.take(&mut self.rest)? {
                Found::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Found::End => return Poll::Ready(None),
                Found::Nothing => {}
            }
            if let Some(upload) = &self.upload
                && upload.has_failed(context)
            {
                return Poll::Ready(Some(Err(AnswerError::Unsent)));
            }
            // With room for what must not be there, so that it is seen, and so that the kernel says at once that there is
            // no more.
            let room = match reading {
                Reading::Length(left) => room::piece(left.saturating_add(SURPLUS)),
                _ => self.gulp,
            };
            let fresh = ready!(self.poll_fill(room, context))?;
            if fresh.is_empty() {
                self.keeps = false;
                reading.end()?;
                return Poll::Ready(None);
            }
            if fresh.len() >= self.gulp {
                self.gulp = MOST;
            }
            self.rest = fresh;
        }
    }

    /// Reads what is there, some `most` bytes; nothing: the connection has ended.
    fn poll_fill(&mut self, most: usize, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.rest.is_empty() {
            // However long it waits now, it holds nothing of what was read.
            self.rest = Bytes::new();
        }
        room::read(&mut *self.stream.borrow_mut(), most, context)
    }

    /// The answer is over and somebody else will not have the connection: what is still sent has a moment to come to its
    /// end. `held` is given back then.
    pub(super) fn let_go(&mut self, held: impl Sized + 'static) {
        if let Some(upload) = self.upload.take() {
            upload.detach(held);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The other side is told that this is the end, not left to think that somebody cut it off; by the last who holds the
        // connection, which may be an upload that still goes on.
        if Rc::strong_count(&self.stream) == 1
            && let Stream::Tls(stream) = &mut *self.stream.borrow_mut()
        {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// A connection that went on in another protocol: its bytes, beginning with those that came with the answer.
impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            let count = this.rest.len().min(buffer.remaining());
            buffer.put_slice(&this.rest.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *this.stream.borrow_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(context)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

const SURPLUS: u64 = 64;
