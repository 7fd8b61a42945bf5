//! Who yields when there are fewer cores than work: whoever answers requests does not.
//!
//! Threads inherit how nice they are from the thread that starts them, and none can take it back. So the control
//! runtime's threads step back, and whatever works behind the answers is started by them: the store's connections, the
//! access log, the hashing pool. Workers, and the process that succeeds this one, are started by the main thread, which
//! stays as it is.

use rustix::process::nice;

/// How far they step back: beside a worker that always has work they get a quarter of a core, not half of it. No
/// further, because some of it is waited for: a key that is seen for the first time is found, and bcrypt computed, within
/// the time that being wrong takes.
const NICER: i32 = 5;

/// The calling thread works behind the answers from now on, and so do those that it starts. A system that does not allow
/// it leaves it as it was.
pub fn step_back() {
    if let Err(error) = nice(NICER) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}
