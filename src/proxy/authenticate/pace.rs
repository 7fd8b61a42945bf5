//! Makes being wrong take the same time, whatever was wrong (R002_02).
//!
//! A wrong secret may cost a bcrypt verification; an unknown prefix costs nothing. Whoever can tell the two
//! apart can list the prefixes that exist. Running bcrypt for unknown prefixes too would let strangers spend our
//! CPU, so instead every refusal waits until as long has passed as a verification takes. Waiting is free.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::domain::time::Clock;

/// Longer than this nobody waits, however slow a verification was.
const LONGEST: Duration = Duration::from_millis(500);

/// How long being wrong takes on this node.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    micros: AtomicU64,
}

impl Pace {
    /// Nothing measured yet.
    pub(super) const fn new(clock: Clock) -> Self {
        Self { clock, micros: AtomicU64::new(0) }
    }

    /// A verification took this long. The slowest seen counts, with a quarter more for those a little slower.
    pub(super) fn measured(&self, took: Duration) {
        let micros = (took + took / 4).min(LONGEST).as_micros();
        self.micros.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits for the rest of the time since `began` (uptime).
    pub(super) async fn wait(&self, began: Duration) {
        let passed = self.clock.uptime().saturating_sub(began);
        let pace = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        if let Some(rest) = pace.checked_sub(passed) {
            tokio::time::sleep(rest).await;
        }
    }
}
