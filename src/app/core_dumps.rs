//! Secrets stay in memory: keys, passwords and what they are sealed by are in nobody's file when the program dies, and
//! in nobody else's hands while it lives.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core is written when the program crashes, wherever the machine would send one (the limit alone does not stop a
/// program that takes cores from the kernel), and no other process of the same user can read this one's memory.
///
/// A kernel that refuses either leaves things as they were: no reason to serve nobody.
pub fn forbid() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
