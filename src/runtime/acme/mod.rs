//! Certificates ordered from an authority (ACME, RFC 8555): the order itself, what is kept of it, and when there has to
//! be another.
//!
//! The protocol - signed requests, nonces, the life of an order - is `instant-acme`; it asks over the one client for other
//! servers, so its bounds hold here. What proves that a name is ours lies in [`tls::Challenges`](super::tls::Challenges).

mod authority;
mod order;
mod schedule;
mod storage;

pub use self::authority::{AcmeError, Authority};
pub use self::schedule::{Attempts, renewal};
pub use self::storage::{Lock, Storage, StorageError};
