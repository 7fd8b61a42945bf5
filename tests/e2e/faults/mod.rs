//! What happens when something else goes wrong: damaged rows, a store out of reach, a process that dies.

mod crash;
mod machine;
mod rows;
mod store;
