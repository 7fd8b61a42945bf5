//! The command line: what an operator types, and what comes back.

mod check;
mod demo;
mod explain;
mod import;
mod init;
mod mistakes;
mod permissions;
mod remote;
mod serve;
mod succession;
mod words;
