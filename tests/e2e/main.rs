//! The gateway from outside: the running program, its ports and its command line.
//!
//! Files are named like the sources they prove. A test names in its comment what it proves: a
//! requirement (`R000_14`) or an attack by its number in the catalogue (`A1`: group A, number 1).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test that cannot go on stops and says why; it measures time itself"
)]
#![expect(
    clippy::similar_names,
    clippy::format_push_string,
    clippy::format_collect,
    reason = "tables are long, and bytes are put together piece by piece"
)]

mod cli;
mod clients;
mod control;
mod deploy;
mod faults;
mod profile;
mod proxy;
mod stories;
mod support;
