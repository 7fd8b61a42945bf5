//! The gateway's own pages: as bytes, and in a real browser.

mod browser;
mod headers;
mod invitations;
mod second_step;
mod sign_in;
pub mod visitor;
