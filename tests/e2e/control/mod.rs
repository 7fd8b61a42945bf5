//! The control plane: the only writer of state.

mod api;
mod audit;
mod console;
mod invitations;
mod keys;
mod requests;
mod roles;
mod session;
mod tenants;
