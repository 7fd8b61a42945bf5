//! Changes that nobody waits for, and how long they let others go first.
//!
//! A system that has chosen a thread lets it work for milliseconds, also when one that matters more wakes up meanwhile. So
//! such a change gives way in the middle of its statements. But it holds the one lock that all writers need: as soon as
//! somebody waits for that, or might in another process, it hurries like everybody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::domain::time::Clock;

/// At the most: whoever waits for the lock in another process does so for two seconds.
const LONGEST: Duration = Duration::from_millis(250);

/// What a store knows of its present change.
#[derive(Debug)]
pub(super) struct Patience {
    /// The machine's: a lock is held in real time, whatever the time is said to be.
    clock: Clock,
    /// In microseconds of uptime; 0: what is being written is not patient.
    until: AtomicU64,
    /// How many wait for the writer with somebody behind them.
    hurried: AtomicU32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self::by(Clock::system())
    }

    fn by(clock: Clock) -> Self {
        Self { clock, until: AtomicU64::new(0), hurried: AtomicU32::new(0) }
    }

    /// Lets others go first, if what is being written may wait.
    pub(super) fn give_way(&self) {
        if self.may_wait() {
            thread::yield_now();
        }
    }

    fn may_wait(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until > 0 && self.hurried.load(Ordering::Relaxed) == 0 && self.uptime() < until
    }

    fn uptime(&self) -> u64 {
        u64::try_from(self.clock.uptime().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A change that is patient. It ends before its connection goes to somebody else.
#[derive(Debug)]
pub(super) struct Patient(Arc<Patience>);

impl Patient {
    pub(super) fn begin(patience: &Arc<Patience>) -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        patience.until.store(patience.uptime().saturating_add(longest), Ordering::Relaxed);
        Self(Arc::clone(patience))
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        self.0.until.store(0, Ordering::Relaxed);
    }
}

/// Somebody waits for the writer, until this is dropped.
pub(super) struct Hurried<'a>(&'a Patience);

impl<'a> Hurried<'a> {
    pub(super) fn by(patience: &'a Patience) -> Self {
        patience.hurried.fetch_add(1, Ordering::Relaxed);
        Self(patience)
    }
}

impl Drop for Hurried<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_change_waits_only_as_long_as_nobody_waits_for_it() {
        let clock = Clock::manual(Timestamp::default());
        clock.advance(Duration::from_secs(1));
        let patience = Arc::new(Patience::by(clock.clone()));
        assert!(!patience.may_wait(), "nothing is written");
        let patient = Patient::begin(&patience);
        assert!(patience.may_wait());
        let (one, other) = (Hurried::by(&patience), Hurried::by(&patience));
        assert!(!patience.may_wait());
        drop(one);
        assert!(!patience.may_wait(), "one still waits");
        drop(other);
        assert!(patience.may_wait());
        clock.advance(LONGEST);
        assert!(!patience.may_wait(), "somebody may wait in another process");
        drop(patient);
        let patient = Patient::begin(&patience);
        assert!(patience.may_wait(), "another change");
        drop(patient);
        assert!(!patience.may_wait());
    }
}
