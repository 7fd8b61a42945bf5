//! What comes on a stream behind its head.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};

use super::super::{fields::Fields, wire::number};

/// A body, and its trailers. It has ended only where the other side said so: a stream that is reset, with whatever code, is
/// an error.
#[derive(Debug)]
pub struct Received {
    stream: RecvStream,
    /// How much is left of it, where that is known.
    left: Option<u64>,
    /// Trailers may follow.
    is_read: bool,
}

impl Received {
    /// What comes behind these fields.
    pub fn new(stream: RecvStream, fields: &Fields) -> Self {
        let left = announced(fields).or_else(|| stream.is_end_stream().then_some(0));
        Self { stream, left, is_read: false }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        if !this.is_read {
            match ready!(this.stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // Whoever asked has room for it, so the other side may send as much again.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.is_read = true,
            }
        }
        this.stream
            .poll_trailers(context)
            .map(|ended| ended.transpose().map(|told| told.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The length that all of its lines agree on. The library holds the first of them against what comes.
fn announced(fields: &Fields) -> Option<u64> {
    let mut lines = fields.get_all(&CONTENT_LENGTH).map(|line| number(line.as_bytes()));
    let length = lines.next()??;
    lines.all(|line| line == Some(length)).then_some(length)
}
