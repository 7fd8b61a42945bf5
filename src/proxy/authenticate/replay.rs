//! A signed request counts once. What makes it unlike every other one of its key, its nonce, is written down before it
//! is forwarded: durably, so that neither a restart nor another node forgets it while the signature would still count.

use super::super::directory::Answer;
use crate::domain::{id::KeyId, key::token::Digest, time::Timestamp};

/// Where nonces are kept: one narrow port.
pub trait Nonces: Send + Sync + 'static {
    /// Keeps a nonce, if there is room and it is new. Once this is answered, no restart forgets it.
    fn take(&self, nonce: Nonce) -> Answer<'_, Taken>;
}

/// What one request of a key brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce {
    /// Whose.
    pub key: KeyId,
    /// Of its text.
    pub digest: Digest,
    /// Until when it has to be known.
    pub until: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new, and known from now on.
    New,
    /// It was there.
    Again,
    /// As many as one key may have are there: nothing is forgotten to make room.
    Full,
}
