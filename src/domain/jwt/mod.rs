//! Signed tokens of identity providers (RFC 7519): their text, the keys that prove them, what they claim.
//!
//! One stack for bearer tokens and for sign-in. The library is asked for one thing, whether a signature is one of
//! a key; what a token is, which key and algorithm are meant, and when it is valid is read here, where a time is an
//! argument and where nothing of a token is believed that could choose its own judge (RFC 8725): the algorithm is
//! the key's, never `none` and never a shared secret; the key is one of the issuer's by its `kid`; keys and
//! addresses of keys inside a token (`jwk`, `jku`, `x5u`, `x5c`) are not read at all.

mod claims;
mod compact;
mod keys;
#[cfg(test)]
pub(crate) mod tests;

pub use claims::{Bearer, Expected, Identity, LEEWAY, Wrong};
pub use compact::{Compact, LONGEST};
pub use keys::{KeySet, NotAKeySet, SigningKey};
