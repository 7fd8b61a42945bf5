//! A message on its way out: its head as bytes, its body as it comes, framed as its head has announced.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, TRAILER},
};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::room;
use crate::runtime::said::Said;

/// A message that is being sent.
pub struct Sending<B> {
    /// The head; later what stands before a piece of the body.
    text: Vec<u8>,
    /// How much of `text` is with the connection.
    at: usize,
    data: Bytes,
    /// What stands behind `data`.
    tail: &'static [u8],
    stage: Stage,
    body: B,
    framing: Framing,
    /// Whether any byte is with the connection.
    begun: bool,
    /// Whether the head does not wait any longer for a body that may come at once.
    waited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The body has not been asked for anything.
    Untouched,
    /// There may be more of it.
    More,
    /// All of it is in `text`, `data` and `tail`.
    Last,
    /// All is with the connection.
    Done,
}

/// How the end of a body is told (RFC 9112 section 6).
#[derive(Debug)]
pub enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks, and then those trailers that were announced: no recipient expects others (RFC 9110 section 6.6.2).
    Chunked(Vec<HeaderName>),
    /// By the end of the connection.
    Close,
}

/// Why a message cannot be sent to its end.
#[derive(Debug)]
pub enum Unsendable {
    /// Its body has no end, or another one than was announced.
    Body,
    /// The connection takes no more.
    Connection(io::Error),
}

impl<B: Body<Data = Bytes> + Unpin> Sending<B> {
    /// A message whose head, with the empty line behind it, is this text. `patient`: the head waits one turn for a body
    /// that came along with it, so that both travel as one.
    pub fn new(text: Vec<u8>, framing: Framing, body: B, patient: bool) -> Self {
        let stage = if matches!(framing, Framing::Length(0)) { Stage::Last } else { Stage::Untouched };
        Self {
            text,
            at: 0,
            data: Bytes::new(),
            tail: b"",
            stage,
            body,
            framing,
            begun: false,
            waited: !patient,
        }
    }

    /// Its body, as far as it is not sent.
    pub const fn body(&self) -> &B {
        &self.body
    }

    /// Whether all of it is with the connection.
    pub fn is_sent(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether no byte of it has left.
    pub const fn is_unsent(&self) -> bool {
        !self.begun
    }

    /// Whether its head is all there is of it.
    pub const fn is_head_alone(&self) -> bool {
        matches!(self.framing, Framing::Length(0))
    }

    /// Makes ready to send it once more from the beginning; it must be a head alone.
    pub fn again(&mut self) {
        (self.at, self.stage, self.begun) = (0, Stage::Last, false);
    }

    /// Hands it to the connection, as fast as that takes it.
    pub fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &RefCell<S>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unsendable>> {
        let mut stream = stream.borrow_mut();
        loop {
            if self.wants_more()
                && let Poll::Pending = self.pull(context)?
            {
                if !self.begun && !std::mem::replace(&mut self.waited, true) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if self.is_written() {
                    return match Pin::new(&mut *stream).poll_flush(context) {
                        Poll::Ready(Err(error)) => Poll::Ready(Err(Unsendable::Connection(error))),
                        _ => Poll::Pending,
                    };
                }
            }
            if !self.is_written() {
                ready!(self.write(&mut *stream, context)).map_err(Unsendable::Connection)?;
            } else if matches!(self.stage, Stage::Last | Stage::Done) {
                ready!(Pin::new(&mut *stream).poll_flush(context)).map_err(Unsendable::Connection)?;
                self.stage = Stage::Done;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether the body is asked for more: the first piece goes along with the head, every other when the last is written.
    fn wants_more(&self) -> bool {
        match self.stage {
            Stage::Untouched => true,
            Stage::More => self.is_written(),
            Stage::Last | Stage::Done => false,
        }
    }

    fn is_written(&self) -> bool {
        self.at == self.text.len() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Takes what the body has.
    fn pull(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unsendable>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(next) = polled else {
            // The head does not wait for ever.
            if self.waited {
                self.stage = Stage::More;
            }
            return Poll::Pending;
        };
        self.stage = Stage::More;
        if self.at == self.text.len() {
            (self.text, self.at) = (room::text(), 0);
        }
        let outcome = match next.transpose().map_err(|_| Unsendable::Body)? {
            Some(frame) => self.put(frame),
            None => self.end(None),
        };
        Poll::Ready(outcome)
    }

    fn put(&mut self, frame: Frame<Bytes>) -> Result<(), Unsendable> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return self.end(frame.into_trailers().ok().as_ref()),
        };
        // An empty chunk would be the last.
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Unsendable::Body)?;
                if *left == 0 {
                    self.stage = Stage::Last;
                }
            }
            Framing::Chunked(_) => {
                let _ = write!(self.text, "{:x}\r\n", data.len());
                self.tail = b"\r\n";
                if self.body.is_end_stream() {
                    self.tail = b"\r\n0\r\n\r\n";
                    self.stage = Stage::Last;
                }
            }
            Framing::Close => {}
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Unsendable> {
        match &self.framing {
            // Half a message must never look like a whole one.
            Framing::Length(1..) => return Err(Unsendable::Body),
            Framing::Length(0) | Framing::Close => {}
            Framing::Chunked(announced) => {
                self.text.extend_from_slice(b"0\r\n");
                for (name, value) in
                    trailers.into_iter().flatten().filter(|(name, _)| announced.contains(name))
                {
                    field(&mut self.text, name.as_str(), value.as_bytes());
                }
                self.text.extend_from_slice(b"\r\n");
            }
        }
        self.stage = Stage::Last;
        Ok(())
    }

    /// Writes some of what is there, which is not nothing.
    fn write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // A call with several pieces costs more than it costs to put short ones together.
        if self.data.len() <= SHORT {
            self.text.extend_from_slice(&self.data);
            self.text.extend_from_slice(self.tail);
            (self.data, self.tail) = (Bytes::new(), b"");
        }
        let text = &self.text[self.at..];
        let stream = Pin::new(stream);
        let written = if self.data.is_empty() {
            stream.poll_write(context, text)
        } else {
            let parts = [text, &self.data, self.tail].map(IoSlice::new);
            stream.poll_write_vectored(context, &parts)
        };
        let mut count = ready!(written)?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.begun = true;
        let of_text = count.min(text.len());
        self.at += of_text;
        if self.at == self.text.len() && self.stage == Stage::More {
            // However long the next piece takes, nothing is held for it.
            room::keep_text(std::mem::take(&mut self.text));
            self.at = 0;
        }
        count -= of_text;
        let of_data = count.min(self.data.len());
        self.data.advance(of_data);
        if self.data.is_empty() {
            // Nor of the room that this one was read into.
            self.data = Bytes::new();
        }
        self.tail = &self.tail[count - of_data..];
        Poll::Ready(Ok(()))
    }
}

impl<B> Drop for Sending<B> {
    fn drop(&mut self) {
        room::keep_text(std::mem::take(&mut self.text));
    }
}

/// What was sent to its end already, or by somebody else.
impl<B: Default> Default for Sending<B> {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            at: 0,
            data: Bytes::new(),
            tail: b"",
            stage: Stage::Done,
            body: B::default(),
            framing: Framing::Length(0),
            begun: true,
            waited: true,
        }
    }
}

/// Appends one line. That it is one, the types promise: no value or name of `http` has line ends in it.
pub fn field(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value is one line");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// The names of the trailers that these headers announce.
pub fn announced(headers: &impl Said) -> Vec<HeaderName> {
    let lines = headers.all(&TRAILER);
    let tokens = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect()
}

/// Appends the line that tells a body's length.
pub fn length(text: &mut Vec<u8>, length: u64) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut at) = (length, digits.len());
    while rest > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    field(text, CONTENT_LENGTH.as_str(), &digits[at..]);
}

/// Whether one of a field's options is this one (RFC 9110 section 5.6.1).
pub fn has_option(value: &HeaderValue, option: &str) -> bool {
    let mut options = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    options.any(|given| given.eq_ignore_ascii_case(option.as_bytes()))
}

/// Pieces of a body that are put behind what stands before them, in bytes.
const SHORT: usize = 2 << 10;
