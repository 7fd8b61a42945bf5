//! How a place stands: whether it answers when it is asked (`health`), and whether it served the requests it was given.
//!
//! Two different verdicts. A place that answers its questions badly is given nothing. One that failed requests is put
//! out for a while, but never so many that those left would have to carry twice their load, and never the last: what
//! looks like failing backends is as often a failing network, or one bad client.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use crate::config::Health;

/// How a place stands; written seldom, read with each request.
#[derive(Debug, Default)]
pub(super) struct Standing {
    unwell: AtomicBool,
    out: AtomicBool,
    /// Failures in a row.
    failures: AtomicU32,
    /// In ticks of the fleet, as everything here.
    failed_at: AtomicU32,
    out_until: AtomicU32,
    /// How often it was put out without having served anything in between.
    times: AtomicU32,
    good: AtomicU32,
    bad: AtomicU32,
}

impl Standing {
    /// Whether it may be given anything.
    #[inline]
    pub(super) fn is_well(&self) -> bool {
        !self.unwell.load(Relaxed)
    }

    /// Whether it was put out: the last resort.
    #[inline]
    pub(super) fn is_out(&self) -> bool {
        self.out.load(Relaxed)
    }

    /// It has served a request.
    #[inline]
    pub(super) fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.times.store(0, Relaxed);
        }
    }

    /// It has failed a request. True: too often in a row.
    pub(super) fn failed(&self, now: u32) -> bool {
        let before = self.failed_at.swap(now, Relaxed);
        if now.wrapping_sub(before) > WINDOW {
            self.failures.store(0, Relaxed);
        }
        self.failures.fetch_add(1, Relaxed) + 1 >= FAILURES && !self.is_out()
    }

    /// It is put out, for longer each time. Returns for how many ticks.
    pub(super) fn put_out(&self, now: u32) -> u32 {
        let times = self.times.fetch_add(1, Relaxed).min(MOST_DOUBLINGS);
        let span = SHORTEST << times;
        self.out_until.store(now.wrapping_add(span), Relaxed);
        self.out.store(true, Relaxed);
        span
    }

    /// True: its time is over just now. One more failure puts it out again.
    pub(super) fn comes_back(&self, now: u32) -> bool {
        let over = self.is_out() && now.wrapping_sub(self.out_until.load(Relaxed)) < u32::MAX / 2;
        if over {
            self.failures.store(FAILURES - 1, Relaxed);
            self.failed_at.store(now, Relaxed);
            self.out.store(false, Relaxed);
        }
        over
    }

    /// It was asked whether it is well. Some: that has changed.
    pub(super) fn asked(&self, well: bool, health: &Health) -> Option<bool> {
        let (counts, other) = if well { (&self.good, &self.bad) } else { (&self.bad, &self.good) };
        other.store(0, Relaxed);
        let needed = if well { health.healthy_after } else { health.unhealthy_after };
        let enough = counts.fetch_add(1, Relaxed) + 1 >= needed.get();
        (enough && self.unwell.swap(!well, Relaxed) == well).then_some(well)
    }
}

/// So many failures in a row, none of them this much later than the one before, put a place out.
const FAILURES: u32 = 5;
/// In ticks, half a second each.
const WINDOW: u32 = 60;
/// For the first time: five seconds.
const SHORTEST: u32 = 10;
/// Up to nearly three minutes.
const MOST_DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    #[test]
    fn failures_in_a_row_put_out_for_longer_each_time() {
        let standing = Standing::default();
        for _ in 0..3 {
            assert!(!standing.failed(1));
        }
        standing.succeeded();
        assert!((0..4).all(|_| !standing.failed(1)) && standing.failed(1), "the fifth in a row");
        assert_eq!(standing.put_out(1), 10);
        assert!(
            standing.is_out() && !standing.comes_back(10) && standing.comes_back(11) && !standing.is_out()
        );
        assert!(standing.failed(11), "one more is enough");
        assert_eq!(standing.put_out(11), 20);
        assert!(!standing.comes_back(30) && standing.comes_back(31));
        standing.succeeded();
        assert!((0..4).all(|_| !standing.failed(40)));
        assert!(!standing.failed(101), "those before are long ago");
    }

    #[test]
    fn health_changes_after_enough_answers_in_a_row() {
        let count = |count| NonZeroU32::new(count).unwrap();
        let (unhealthy_after, healthy_after) = (count(2), count(3));
        let interval = Duration::from_secs(1);
        let health = Health { path: "/".parse().unwrap(), interval, unhealthy_after, healthy_after };
        let standing = Standing::default();
        let asked = |well| standing.asked(well, &health);
        assert_eq!([asked(false), asked(true), asked(false), asked(false)], [None, None, None, Some(false)]);
        assert!(!standing.is_well());
        assert_eq!([asked(false), asked(true), asked(true), asked(true)], [None, None, None, Some(true)]);
        assert!(standing.is_well());
    }
}
