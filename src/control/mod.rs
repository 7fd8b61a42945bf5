//! The control plane: everything that changes who may do what. It never touches the request path.

pub mod api;
mod console;
mod cookie;
mod mail;
pub mod oidc;
mod router;
pub mod service;

pub use router::router;
