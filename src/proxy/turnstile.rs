//! How many requests are under way in all workers together, where the configuration sets a bound.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Counts those who are inside.
#[derive(Debug, Default)]
pub struct Turnstile(Arc<AtomicU32>);

/// One who is; out again when dropped.
#[derive(Debug)]
pub struct Inside(Arc<AtomicU32>);

impl Turnstile {
    /// Lets one more in, unless there are as many as this already.
    pub fn enter(&self, most: NonZeroU32) -> Option<Inside> {
        let one_more = |inside: u32| (inside < most.get()).then_some(inside + 1);
        // Nothing else is read by it: the number alone counts.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Inside(Arc::clone(&self.0)))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
