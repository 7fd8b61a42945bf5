//! A request on its way out: its head as bytes, its body as it comes.
//!
//! The head is written once and kept: as long as nothing of a body has been asked for, the request can be sent again from
//! it. What frames the body is written here and nowhere else, from what is known of the body itself.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderName, Method, Request,
    header::{CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING},
    uri::Authority,
};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite;

use crate::{
    proxy::forward::{Fault, RequestBody},
    runtime::dial::Stream,
};

/// A request that is being sent.
pub(in crate::proxy) struct Outgoing {
    /// The head; later what stands before a piece of the body.
    text: Vec<u8>,
    /// How much of `text` is with the connection.
    at: usize,
    data: Bytes,
    /// What stands behind `data`.
    tail: &'static [u8],
    stage: Stage,
    body: RequestBody,
    framing: Framing,
    /// Whether any byte is with the connection.
    begun: bool,
    /// Whether the head has waited for a body that may come at once.
    waited: bool,
    is_head: bool,
    /// The map that the head was written from: room for the answer's.
    pub(super) room: HeaderMap,
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

#[derive(Debug)]
enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks, and then those trailers that were announced: no recipient expects others (RFC 9110 section 6.6.2).
    Chunked(Vec<HeaderName>),
}

/// Why a request cannot be sent to its end.
#[derive(Debug)]
pub(in crate::proxy) enum Unsendable {
    /// Its body has no end.
    Body,
    /// The connection takes no more.
    Connection(io::Error),
}

impl Outgoing {
    /// A request whose headers and target are the upstream's business alone; `authority` is its host if it names none.
    pub(in crate::proxy) fn new(request: Request<RequestBody>, authority: &Authority) -> Self {
        let (parts, body) = request.into_parts();
        let (method, headers) = (parts.method, parts.headers);
        let framing = match body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None if headers.contains_key(TRAILER) => Framing::Chunked(announced(&headers)),
            None => Framing::Chunked(Vec::new()),
        };
        let mut text = Vec::with_capacity(USUAL_HEAD);
        text.extend_from_slice(method.as_str().as_bytes());
        text.push(b' ');
        text.extend_from_slice(parts.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
        text.extend_from_slice(b" HTTP/1.1\r\n");
        let (mut names_host, mut has_length) = (false, false);
        for (name, value) in &headers {
            names_host |= name == HOST;
            if name == CONTENT_LENGTH || name == TRANSFER_ENCODING {
                has_length |= name == CONTENT_LENGTH;
                continue;
            }
            field(&mut text, name.as_str(), value.as_bytes());
        }
        if !names_host {
            field(&mut text, "host", authority.as_str().as_bytes());
        }
        match framing {
            Framing::Length(0) if !has_length => {}
            Framing::Length(length) => {
                // Into a vector nothing fails.
                let _ = write!(text, "content-length: {length}\r\n");
            }
            Framing::Chunked(_) => field(&mut text, "transfer-encoding", b"chunked"),
        }
        text.extend_from_slice(b"\r\n");
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
            waited: false,
            is_head: method == Method::HEAD,
            room: headers,
        }
    }

    /// What is not sent yet, away from here.
    pub(super) fn take(&mut self) -> Self {
        let gone = Self {
            text: Vec::new(),
            at: 0,
            data: Bytes::new(),
            tail: b"",
            stage: Stage::Done,
            body: RequestBody::default(),
            framing: Framing::Length(0),
            begun: true,
            waited: true,
            is_head: self.is_head,
            room: HeaderMap::new(),
        };
        std::mem::replace(self, gone)
    }

    pub(super) const fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether all of it is with the connection.
    pub(super) fn is_sent(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether no byte of it has left.
    pub(super) const fn is_unsent(&self) -> bool {
        !self.begun
    }

    /// Makes ready to send it once more, from the beginning; false: there is a body, which is gone.
    pub(in crate::proxy) fn again(&mut self) -> bool {
        let may = self.may_repeat();
        if may {
            (self.at, self.stage, self.begun) = (0, Stage::Last, false);
        }
        may
    }

    /// Whether it has nothing that is gone when it was sent.
    pub(in crate::proxy) const fn may_repeat(&self) -> bool {
        matches!(self.framing, Framing::Length(0)) && self.body.is_none()
    }

    /// Hands it to the connection, as fast as that takes it.
    pub(super) fn poll(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Unsendable>> {
        let mut stream = stream.borrow_mut();
        loop {
            if self.wants_more()
                && let Poll::Pending = self.pull(context)?
            {
                // A body that came with its head is there in a moment, and both travel as one.
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
                ready!(self.write(&mut stream, context)).map_err(Unsendable::Connection)?;
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
            self.text.clear();
            self.at = 0;
        }
        let outcome = match next.transpose().map_err(|_| Unsendable::Body)? {
            Some(frame) => self.put(frame),
            None => self.end(None),
        };
        Poll::Ready(outcome.map_err(|_| Unsendable::Body))
    }

    fn put(&mut self, frame: Frame<Bytes>) -> Result<(), Fault> {
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
                *left = left.checked_sub(data.len() as u64).ok_or(Fault::Broken)?;
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
        }
        self.data = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), Fault> {
        match &self.framing {
            // Half a request must never look like a whole one.
            Framing::Length(1..) => return Err(Fault::Broken),
            Framing::Length(0) => {}
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
    fn write(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let text = &self.text[self.at..];
        let stream = Pin::new(stream);
        let written = if self.data.is_empty() && self.tail.is_empty() {
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
        count -= of_text;
        let of_data = count.min(self.data.len());
        self.data.advance(of_data);
        self.tail = &self.tail[count - of_data..];
        Poll::Ready(Ok(()))
    }
}

/// One line. That it is one, the types promise: no value or name of `http` has line ends in it.
fn field(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value is one line");
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let lines = headers.get_all(TRAILER).iter();
    let tokens = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    tokens.filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok()).collect()
}

/// Room for nearly every head, in bytes.
const USUAL_HEAD: usize = 1024;
