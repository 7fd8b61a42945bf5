//! All that a client says on a connection, read as from a connection: what tests and fuzzers hold the reader to.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Bounds, Flaw, Head, Stream, Unreadable, Wire};

/// The requests of a connection, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// Those that came to their end, and were fine.
    pub requests: Vec<Asked>,
    /// What came then.
    pub end: End,
}

/// A request that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its target, as it is understood.
    pub target: String,
    /// 1.0 or 1.1.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// The fields behind it.
    pub trailers: Option<HeaderMap>,
    /// Whether its client means to send another one.
    pub keeps: bool,
}

/// Why nothing more is read from a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client has said all.
    Silence,
    /// The client said that the last request was the last.
    Last,
    /// It broke off in the middle of a head.
    Cut,
    /// What came is no request.
    Refused(Unreadable),
    /// What came is a request that is refused.
    Flawed(Flaw),
    /// A body broke off, or is none. So much of it was read.
    Broken(Vec<u8>),
}

impl Whole {
    /// Reads a connection that brings `piece` bytes at a time and then ends.
    pub fn read(said: &[u8], piece: usize, bounds: Bounds) -> Self {
        let stream = Pieces { rest: Bytes::copy_from_slice(said), piece: piece.max(1) };
        let wire = Wire::new(Box::new(stream), Bytes::new());
        let mut requests = Vec::new();
        let end = loop {
            match now(wire.head(bounds)) {
                Some(Ok(Some(Ok(head)))) => match Asked::read(&wire, head) {
                    Ok(asked) => requests.push(asked),
                    Err(end) => break end,
                },
                Some(Ok(Some(Err(unreadable)))) => break End::Refused(unreadable),
                _ => break if wire.has_begun() { End::Cut } else { End::Silence },
            }
            if requests.last().is_some_and(|asked| !asked.keeps) {
                break End::Last;
            }
        };
        Self { requests, end }
    }
}

impl Asked {
    fn read(wire: &Rc<Wire>, head: Head) -> Result<Self, End> {
        let Head { request, reading, expects, terms } = head;
        if let Some(flaw) = request.flaw {
            return Err(End::Flawed(flaw));
        }
        let mut content = wire.begin(reading, expects);
        let (mut body, mut trailers) = (Vec::new(), None);
        while let Some(frame) = now(content.frame()).flatten() {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(_) => return Err(End::Broken(body)),
            }
        }
        Ok(Self {
            method: request.method,
            target: request.target.to_string(),
            version: request.version,
            headers: request.fields.into(),
            body,
            trailers,
            keeps: terms.keeps,
        })
    }
}

/// What comes of it at once; none: it would wait, which nobody does for bytes that are there.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Bytes that come so many at a time. What is written to them is not kept.
struct Pieces {
    rest: Bytes,
    piece: usize,
}

impl Stream for Pieces {}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.piece.min(self.rest.len()).min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
