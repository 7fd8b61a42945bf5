//! What runs the planes: listeners, TLS, client addresses, the hashing pool, tasks, calls to other servers.

pub mod acme;
pub mod client_ip;
pub mod crowd;
pub mod dial;
pub mod forwarded;
pub mod gather;
pub mod hashing;
pub mod jwks;
pub mod listener;
pub mod origin;
pub mod outbound;
pub mod patience;
pub mod priority;
pub mod proxy_protocol;
pub mod said;
pub mod single_flight;
pub mod tasks;
pub mod tls;
