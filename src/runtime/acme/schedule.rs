//! When a certificate is ordered: once, before it ends, and after a failure not soon.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// When a certificate that counts between these is to be replaced: after two thirds of its time, or a little earlier, so
/// that not all of them are replaced in one moment. `lot` says how much, and is the certificate's own.
pub fn renewal(begins: Timestamp, ends: Timestamp, lot: u32) -> Timestamp {
    let whole = ends.since(begins);
    let earlier = (whole / EARLIEST).mul_f64(f64::from(lot) / f64::from(u32::MAX));
    begins.after(whole * 2 / 3).before(earlier)
}

/// At most this part of the certificate's time earlier.
const EARLIEST: u32 = 50;

/// What has come of the orders for one name since the last one that succeeded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempts {
    failures: u32,
    /// Our own patience.
    pause_ends: Duration,
    /// The authority's word.
    barred_until: Duration,
}

impl Attempts {
    /// Whether there may be another at this uptime.
    pub fn may_try(&self, uptime: Duration) -> bool {
        uptime >= self.pause_ends && uptime >= self.barred_until
    }

    /// Whether the last one failed.
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Another one failed. `counted`: the authority knows of it, and has a limit on how many it takes. `bar`: for how long
    /// it wants to hear nothing. `lot` spreads those that failed together. Returns how long nothing is tried.
    pub fn failed(&mut self, uptime: Duration, counted: bool, bar: Option<Duration>, lot: u32) -> Duration {
        let (first, longest) = if counted { REFUSED } else { UNREACHED };
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        let pause = pause.mul_f64(1.0 + 0.25 * f64::from(lot) / f64::from(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.pause_ends = uptime + pause;
        self.barred_until = uptime + bar.unwrap_or_default().min(LONGEST_BAR);
        self.pause_ends.max(self.barred_until).saturating_sub(uptime)
    }

    /// Somebody has mended something: our own patience is over, the authority's word still counts.
    pub const fn resume(&mut self) {
        self.pause_ends = Duration::ZERO;
    }
}

/// The first pause, and the longest. Let's Encrypt takes five failed validations of a name an hour: these are four at most.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(6 * 3600));
const UNREACHED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));
/// Nobody says more than a week.
const LONGEST_BAR: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_third_of_its_time_is_left() {
        let begins = Timestamp::from_micros(1_800_000_000_000_000);
        let ends = begins.after(90 * DAY);
        assert_eq!(renewal(begins, ends, 0), begins.after(60 * DAY));
        let earliest = renewal(begins, ends, u32::MAX);
        assert!(earliest >= begins.after(58 * DAY) && earliest < begins.after(59 * DAY));
        // One that makes no sense is replaced at once, and no sum overflows.
        assert!(renewal(ends, begins, 7) <= ends);
    }

    #[test]
    fn the_authority_is_not_asked_again_and_again() {
        let (mut attempts, mut uptime, mut hour) = (Attempts::default(), Duration::ZERO, 0);
        assert!(attempts.may_try(uptime));
        for _ in 0..30 {
            let pause = attempts.failed(uptime, true, None, 0);
            assert!(!attempts.may_try(uptime + pause / 2) && attempts.may_try(uptime + pause));
            assert!(pause <= Duration::from_secs(6 * 3600));
            hour += u32::from(uptime < Duration::from_secs(3600));
            uptime += pause;
        }
        assert!(hour <= 4, "{hour} in the first hour");
        assert!(uptime > 6 * DAY);
    }

    #[test]
    fn the_authoritys_word_outlasts_a_hand_that_mends() {
        let mut attempts = Attempts::default();
        let minute = Duration::from_secs(60);
        assert_eq!(attempts.failed(minute, true, Some(100 * minute), 0), 100 * minute);
        attempts.resume();
        assert!(!attempts.may_try(50 * minute) && attempts.may_try(101 * minute));
        attempts.failed(200 * minute, false, None, 0);
        assert!(!attempts.may_try(200 * minute));
        attempts.resume();
        assert!(attempts.may_try(200 * minute) && attempts.is_failing());
    }
}
