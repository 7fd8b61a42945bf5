//! What hyper cannot read it answers by itself, with a bare status and before anybody is asked. Here that becomes
//! the documented problem, counted and logged like every other refusal.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Watched;
use crate::{
    domain::time::Timestamp,
    proxy::{headers::X_REQUEST_ID, reject::Refusal},
};

/// Who answers on a connection.
pub(in crate::app) trait Answers {
    /// Whether a request is being answered: what is written meanwhile is no refusal of hyper's.
    fn is_answering(&self) -> bool;

    /// Everything that was to be written is written.
    fn flushed(&self);

    /// The answer to what could not be read, counted and logged.
    fn refuse(&self, refusal: &Refusal) -> Response<Bytes>;
}

/// A client's connection whose refusals are ours.
pub(in crate::app) struct Refusing<S, A> {
    stream: Watched<S>,
    answers: A,
    /// Our answer in place of hyper's, as far as it is not written yet.
    own: Bytes,
}

impl<S, A: Answers> Refusing<S, A> {
    /// Wraps an accepted connection.
    pub(in crate::app) fn new(stream: Watched<S>, answers: A) -> Self {
        Self { stream, answers, own: Bytes::new() }
    }

    /// The answer to give instead of what hyper is about to write, if that is one of its own.
    fn instead_of(&self, theirs: &[u8]) -> Option<Bytes> {
        if self.answers.is_answering() || !theirs.ends_with(b"\r\n\r\n") {
            return None;
        }
        let status = theirs.strip_prefix(b"HTTP/1.1 ").or_else(|| theirs.strip_prefix(b"HTTP/1.0 "))?;
        let refusal = match StatusCode::from_bytes(status.get(..3)?).ok()? {
            StatusCode::BAD_REQUEST if self.stream.saw_strange_version() => Refusal::VersionNotSupported,
            StatusCode::BAD_REQUEST => Refusal::Unreadable,
            StatusCode::URI_TOO_LONG => Refusal::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Refusal::HeadersTooLarge,
            _ => return None,
        };
        Some(written(&self.answers.refuse(&refusal)))
    }
}

/// What hyper would have put on the answer: nothing after what it could not read may be believed.
pub(in crate::app) fn last_words(headers: &mut HeaderMap, request_id: HeaderValue, now: Timestamp) {
    headers.insert(X_REQUEST_ID, request_id);
    if let Some(date) = now.http_date().and_then(|date| date.try_into().ok()) {
        headers.insert(http::header::DATE, date);
    }
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
}

impl<S: AsyncRead + AsyncWrite + Unpin, A: Answers> Refusing<S, A> {
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.own.has_remaining() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.own))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

/// A complete answer as bytes.
fn written(response: &Response<Bytes>) -> Bytes {
    let status = response.status();
    let mut text =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default())
            .into_bytes();
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_ref());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
    text.extend_from_slice(response.body());
    text.into()
}

impl<S: AsyncRead + Unpin, A: Unpin> AsyncRead for Refusing<S, A> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, A: Answers + Unpin> AsyncWrite for Refusing<S, A> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_own(context))?;
        match this.instead_of(bytes) {
            Some(own) => {
                this.own = own;
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut this.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_own(context))?;
        // hyper writes its own refusals in one piece.
        let mut pieces = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (pieces.next(), pieces.next())
            && let Some(own) = this.instead_of(only)
        {
            this.own = own;
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut this.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(context))?;
        ready!(Pin::new(&mut this.stream).poll_flush(context))?;
        // hyper flushes only when it has nothing left to write.
        this.answers.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}
