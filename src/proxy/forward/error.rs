//! Why a request that was let in has no answer.

use std::error::Error;

use super::super::{headers::BadResponse, upstream::ConnectError};

/// What went wrong on the way to the upstream or back; nothing of an answer has reached the client.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No connection; 502 `upstream_unreachable`. Nothing was sent.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] ConnectError),
    /// No connection, or no answer, in time; 504 `upstream_timeout`.
    #[error("the upstream took too long to {0}")]
    Timeout(Late),
    /// An answer that is none, or the end of the connection in its place; 502 `upstream_protocol`.
    #[error("the upstream's answer cannot be used")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
    /// The client sends more than `limits.body_bytes`; 413 `body_too_large`.
    #[error("the request body is too large")]
    BodyTooLarge,
    /// The client stopped in the middle of its body; 408 `request_timeout`.
    #[error("the request body did not arrive in time")]
    ClientStalled,
    /// The client's body is malformed or cut short; 400 `request_malformed`, if anybody is left to be told.
    #[error("the request body is incomplete or malformed")]
    ClientAborted,
    /// All connections to the upstream are in use; 503 `overloaded`. Nothing was sent.
    #[error("all connections to the upstream are in use")]
    Overloaded,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// `timeouts.connect`.
    Connect,
    /// `timeouts.response`: to read the request and send the head of the answer.
    Answer,
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Answer => "answer",
        })
    }
}

impl From<ConnectError> for ForwardError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Failed(_) | ConnectError::Nowhere => Self::Unreachable(error),
            ConnectError::NoHttp2(_) | ConnectError::NotHttp2 => Self::Protocol(error.into()),
            ConnectError::Slow => Self::Timeout(Late::Connect),
            ConnectError::Crowded => Self::Overloaded,
        }
    }
}

impl From<BadResponse> for ForwardError {
    fn from(error: BadResponse) -> Self {
        Self::Protocol(error.into())
    }
}

impl From<Fault> for ForwardError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLarge => Self::BodyTooLarge,
            Fault::Stalled => Self::ClientStalled,
            Fault::Broken => Self::ClientAborted,
        }
    }
}

/// What is wrong with the client's body. The upstream's connection is broken off then, so that
/// half a request never looks like a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More than `limits.body_bytes`.
    #[error("the request body is larger than allowed")]
    TooLarge,
    /// Silent for too long.
    #[error("the client stopped sending its request body")]
    Stalled,
    /// Not framed as HTTP would have it, or cut short.
    #[error("the request body is incomplete or malformed")]
    Broken,
}
