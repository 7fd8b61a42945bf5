//! An answer that is all there, read as from a connection: what tests and fuzzers hold the reader to.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{
    AnswerError,
    head::{self, Head, LONGEST_HEAD},
};
use crate::proxy::wire::{Found, Reading, is_worth_a_look};

/// An answer that was read to its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// The fields behind it.
    pub trailers: Option<HeaderMap>,
    /// How many bytes followed it.
    pub surplus: usize,
    /// Whether its connection might carry another request.
    pub keeps: bool,
}

impl Whole {
    /// Reads one from a connection that brings `piece` bytes at a time and then ends; `to_head`: the request was a `HEAD`.
    pub fn read(answer: &[u8], piece: usize, to_head: bool) -> Result<Self, AnswerError> {
        let mut pieces = answer.chunks(piece.max(1));
        let (mut fresh, mut looked_at, mut interim) = (BytesMut::new(), 0, 0);
        let (mut rest, Head { status, fields, mut reading, keeps, .. }) = loop {
            if is_worth_a_look(&fresh, looked_at, LONGEST_HEAD) {
                let mut bytes = std::mem::take(&mut fresh).freeze();
                if let Some(head) = head::take(&mut bytes, &mut interim, to_head)? {
                    break (bytes, head);
                }
                looked_at = bytes.len();
                fresh = bytes.into();
            }
            fresh.extend_from_slice(pieces.next().ok_or(AnswerError::Cut)?);
        };
        let (mut body, mut trailers, mut ended) = (Vec::new(), None, false);
        loop {
            match reading.take(&mut rest)? {
                Found::End => break,
                Found::Frame(frame) => match frame.into_data() {
                    Ok(data) => body.extend_from_slice(&data),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
                Found::Nothing => {
                    rest = pieces.next().map(Bytes::copy_from_slice).unwrap_or_default();
                    if rest.is_empty() {
                        reading.end()?;
                        ended = true;
                    }
                }
            }
        }
        let surplus = rest.len() + pieces.map(<[u8]>::len).sum::<usize>();
        let keeps = keeps && !ended && surplus == 0 && reading == Reading::Done;
        let headers = fields.into();
        Ok(Self { status: status.as_u16(), headers, body, trailers, surplus, keeps })
    }
}
