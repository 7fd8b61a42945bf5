//! Where the planes meet: a configuration becomes a running gateway.

pub mod admin;
pub mod background;
pub mod directory;
pub mod explain;
pub mod handover;
pub mod node;
pub mod ops;
mod places;
pub mod requests;
pub mod run;
pub mod start;
mod start_error;
mod unread;
pub mod usage;
pub mod workers;

pub use run::{RunError, Signals, announce, install_logging, run, runtime, serve};
pub use start::{App, AppOptions, StartError};
