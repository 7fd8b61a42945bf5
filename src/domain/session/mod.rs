//! A person's session: what is shown for it, what it may do, when it ends.

mod activity;
mod standing;
mod token;

pub use activity::{Activity, LastUse};
pub use standing::{PersonStanding, standing};
pub use token::{LITERAL, NotASession, SessionToken};

/// The cookie that carries a token. Browsers take one with the first name only when it is `Secure`, for the whole host
/// and for no other (RFC 6265bis section 4.1.3.2), so that no neighbour can put it there.
pub const fn cookie_name(insecure: bool) -> &'static str {
    if insecure { "latchgate" } else { "__Host-latchgate" }
}
