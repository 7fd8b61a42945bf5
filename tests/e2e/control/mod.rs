//! The control plane: the only writer of state.

mod api;
mod audit;
pub mod console;
mod invitations;
mod keys;
mod oidc;
mod races;
mod requests;
mod roles;
mod second_factor;
mod session;
mod tenants;
