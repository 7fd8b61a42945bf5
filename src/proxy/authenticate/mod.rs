//! Who is asking: one file for each kind of credential.

pub mod jwt;
pub mod key;
mod pace;
pub mod replay;
pub mod session;
pub mod signed;
pub mod webhook;
