//! Which HTTP a client speaks, by its first bytes (RFC 9113 section 3.3).
//!
//! A client that speaks HTTP/2 without having agreed on it begins with a preface of 24 bytes that no HTTP/1 request
//! begins with. Whatever was read to see that is heard again by whoever serves the connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What a client agreed to speak before its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1, by ALPN.
    Http1,
    /// HTTP/2, by ALPN.
    Http2,
    /// Nothing was agreed on: its first bytes tell.
    Unknown,
}

/// What every HTTP/2 connection begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much as is read at first; an ordinary request fits, so that it costs no second read.
const FIRST_READ: usize = 2048;

/// The first bytes of a connection, and whether they are the preface of HTTP/2. Reads on only as long as they may
/// still become it. No bytes: the client has closed.
pub(super) async fn words<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(Bytes, bool)> {
    let mut said = Vec::with_capacity(FIRST_READ);
    loop {
        let count = stream.read_buf(&mut said).await?;
        let known = said.len().min(PREFACE.len());
        let may_be = said[..known] == PREFACE[..known];
        if count == 0 || !may_be || known == PREFACE.len() {
            return Ok((said.into(), may_be && known == PREFACE.len()));
        }
    }
}

/// A connection some of whose bytes were read already.
#[derive(Debug)]
pub(super) struct Reread<S> {
    first: Bytes,
    stream: S,
}

impl<S> Reread<S> {
    /// These bytes came before what is still to come.
    pub(super) const fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reread<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first[..count]);
        this.first.advance(count);
        if this.first.is_empty() {
            // What it stood in is not needed any more, however long the connection lasts.
            this.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reread<S> {
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

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What is seen of these pieces, and what is read afterwards.
    async fn seen(pieces: &[&[u8]]) -> (bool, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(64);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = async move {
            for piece in pieces {
                far.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            let (said, is_preface) = words(&mut near).await.unwrap();
            let mut whole = Vec::new();
            Reread::new(said, near).read_to_end(&mut whole).await.unwrap();
            (is_preface, whole)
        };
        tokio::join!(sending, reading).1
    }

    #[tokio::test]
    async fn the_preface_is_told_from_everything_else_and_nothing_is_lost() {
        for (text, is_http2) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], true),
            (b"GET / HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
            (b"PRINT / HTTP/1.1\r\n\r\n", false),
            (b"PRI * HTTP/2.0\r\n", false),
            (b"P", false),
            (b"", false),
        ] {
            assert_eq!(seen(&[text]).await, (is_http2, text.to_vec()), "{text:?}");
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(seen(&bytes).await, (is_http2, text.to_vec()), "{text:?} byte by byte");
        }
    }
}
