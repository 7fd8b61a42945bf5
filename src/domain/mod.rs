//! The words both planes speak: types and rules, no I/O.

pub mod access;
pub mod assertion;
pub mod audit;
pub mod boundary;
pub mod email;
pub mod id;
pub mod invitation;
pub mod jwt;
pub mod key;
pub mod password;
pub mod permission;
pub mod profile;
pub mod role;
pub mod seal;
pub mod second_factor;
pub mod session;
pub mod time;
pub mod webhook;
