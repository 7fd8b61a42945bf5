//! The control plane: everything that changes who may do what. It never touches the request path.

pub mod api;
pub mod service;
