//! What happens when something else goes wrong: damaged rows, a store out of reach, a process that dies, more than there is
//! room for.

mod crash;
mod machine;
mod overload;
mod panic;
mod priority;
mod rows;
mod store;
mod upstreams;
