//! Threads that go on until they are told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Tells them when it is dropped, so also when the test fails meanwhile: its scope would wait for them for ever, and the
/// failure would look like a test that hangs.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
