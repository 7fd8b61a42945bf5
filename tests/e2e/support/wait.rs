//! Waiting for what must happen, with an end to patience; never for luck.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before the test gives up. Generous: it is only spent by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something to see.
pub fn for_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// As [`for_some`], with a bound that is itself the promise under test.
pub fn within<T>(bound: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < bound, "after {:?} still not: {what}", started.elapsed());
        thread::sleep(Duration::from_millis(3));
    }
}

/// Looks until it is true.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    for_some(what, || look().then_some(()));
}

/// Looks until there is the same to see for a while: what goes into something that is full stands still. Gives what it was.
pub fn still<T: PartialEq>(what: &str, mut look: impl FnMut() -> T) -> T {
    let (mut seen, mut times) = (look(), 0);
    for_some(what, || {
        thread::sleep(Duration::from_millis(50));
        let now = look();
        times = if now == seen { times + 1 } else { 0 };
        seen = now;
        (times == 6).then_some(())
    });
    seen
}
