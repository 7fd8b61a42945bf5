//! Where the planes meet: a configuration becomes a running gateway.

mod acme;
pub mod admin;
pub mod alerts;
mod backends;
pub mod background;
pub mod core_dumps;
pub mod directory;
pub mod explain;
pub mod ext_authz;
mod federation;
pub mod handover;
pub mod huge_pages;
pub mod inherited;
mod logs;
pub mod node;
pub mod nonces;
pub mod ops;
mod places;
mod port;
pub mod reach;
mod redirect;
pub mod requests;
pub mod run;
mod signed;
pub mod sockets;
pub mod start;
mod start_error;
pub mod succession;
pub mod supervisor;
pub mod tls;
mod unread;
pub mod usage;
mod watched;
pub mod workers;

pub use run::{RunError, Signals, announce, install_logging, run, runtime, serve};
pub use start::{App, AppOptions, StartError};
