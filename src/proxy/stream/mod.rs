//! Streams of HTTP/2, a client's and an upstream's: what both sides share.
//!
//! The library below knows frames, windows and states, and resets a stream that is let go before its end (RFC 9113
//! section 8.1: with the code that means no error where only the rest of a request was left). What is said on a stream is
//! here: bodies and trailers on their way in ([`Received`]) and out ([`Pipe`]), and which fields belong to a connection and
//! therefore on no stream.

mod pipe;
mod pulse;
mod received;

use http::{
    HeaderName,
    header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE},
};

pub use self::{
    pipe::{Offer, Pipe, Unsent},
    pulse::Pulse,
    received::Received,
};

/// Whether a field speaks about a connection of HTTP/1.1; on a stream it makes a message malformed (RFC 9113 section 8.2.2).
pub fn is_of_a_connection(name: &HeaderName) -> bool {
    match *name {
        CONNECTION | TRANSFER_ENCODING | UPGRADE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

/// The same in an answer, in which nobody says either what it takes.
pub fn is_no_part_of_an_answer(name: &HeaderName) -> bool {
    *name == TE || is_of_a_connection(name)
}
