//! The data plane: one request, from its first byte to its log line.

mod admit;
mod assertion;
mod authenticate;
mod connection;
mod credential;
mod decide;
mod differential;
mod directory;
mod forward;
mod framing;
mod handover;
mod hashed;
mod headers;
mod heads;
mod house;
mod http2;
mod identity;
mod jwt;
mod lasting;
mod limits;
mod misses;
mod mutations;
mod path;
mod record;
mod semantics;
mod session;
mod signed;
mod targets;
mod throttle;
mod tls;
mod upgrade;
mod upstream;
mod upstream_h2;
mod upstream_health;
mod webhook;

pub use self::credential::checksum;
