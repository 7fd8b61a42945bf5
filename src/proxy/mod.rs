//! The data plane: one request, from its first byte to its log line.
//!
//! [`pipeline`] is the whole way on one screen; every step of it is a file here. What the data plane must know
//! about keys it asks through one narrow port, [`directory`]. It never names the control plane.

pub mod admit;
pub mod assertion;
pub mod authenticate;
pub mod body;
pub mod converse;
mod cookie;
pub mod credential;
pub mod decide;
pub mod directory;
pub mod failures;
pub mod fields;
pub mod forward;
pub mod gateway;
pub mod handover;
pub mod headers;
pub mod identity;
pub mod known;
pub mod lasting;
pub mod linger;
pub mod misses;
pub mod path;
pub mod peer;
pub mod pipeline;
pub mod record;
pub mod reject;
pub mod request;
pub mod reserved;
pub mod response;
pub mod route;
pub mod server;
pub mod sign_in;
pub mod signature;
pub mod snapshot;
pub mod stream;
pub mod throttle;
pub mod tunnel;
pub mod turn;
pub mod turnstile;
pub mod upstream;
pub mod usage;
pub mod wire;
pub mod worker;
