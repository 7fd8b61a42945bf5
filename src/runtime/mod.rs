//! What runs the planes: listeners, client addresses, the hashing pool, tasks.

pub mod client_ip;
pub mod hashing;
pub mod listener;
pub mod single_flight;
pub mod tasks;
