//! Programs that exist already: unmodified backends behind the gateway, and the clients of CI pipelines before it.

mod askers;
mod backends;
mod callers;
mod calls;
mod provider;
mod signers;
mod sockets;
