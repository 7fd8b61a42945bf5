//! What is wrong with an answer.

use std::io;

use crate::proxy::wire::Unframed;

/// Why what an upstream sent is no answer, or not a whole one. Its connection is not used again.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The connection ended in the middle of it, or before it.
    #[error("the upstream closed the connection before its answer was complete")]
    Cut,
    /// The connection broke.
    #[error("the connection to the upstream broke: {0}")]
    Io(#[from] io::Error),
    /// The client's body came to no end, so the request has none either.
    #[error("the request ended before its end")]
    Unsent,
    /// Its head or its trailers are not HTTP.
    #[error("the upstream's answer is malformed: {0}")]
    Malformed(#[from] httparse::Error),
    /// A status, name or value that is none.
    #[error("the upstream's answer has a field that cannot be read")]
    Field,
    /// A head, or trailers, beyond all bounds.
    #[error("the head or the trailers of the upstream's answer are too long")]
    TooLong,
    /// One interim answer after the other.
    #[error("the upstream sends interim answers without end")]
    Interim,
    /// A length that is no plain number, or more than one.
    #[error("the length of the upstream's answer cannot be read")]
    Length,
    /// A length beside a transfer coding: one of the two is a lie (RFC 9112 section 6.3).
    #[error("the upstream's answer has both a length and a transfer coding")]
    TwoLengths,
    /// A transfer coding other than exactly one `chunked`, or one in HTTP/1.0.
    #[error("the upstream's answer has a transfer coding other than chunked")]
    Coding,
    /// A chunk that is none.
    #[error("a chunk of the upstream's answer is malformed")]
    Chunk,
}

impl From<Unframed> for AnswerError {
    fn from(why: Unframed) -> Self {
        match why {
            Unframed::Cut => Self::Cut,
            Unframed::Chunk => Self::Chunk,
            Unframed::TooLong => Self::TooLong,
            Unframed::Malformed(error) => Self::Malformed(error),
            Unframed::Field => Self::Field,
        }
    }
}
