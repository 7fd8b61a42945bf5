//! When a session was last used.
//!
//! Every request of a session counts, and none may cost a write; so the time is kept in memory, shared by all that
//! hold the session, and written down now and then by whoever keeps it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::domain::time::Timestamp;

/// The last use that this node knows of.
#[derive(Debug)]
pub struct LastUse(AtomicI64);

impl LastUse {
    /// It was at this time.
    pub const fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.micros()))
    }

    /// It was at this time or later.
    #[inline]
    pub fn raise(&self, at: Timestamp) {
        self.0.fetch_max(at.micros(), Ordering::Relaxed);
    }

    /// When it was.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// How long a session may rest.
#[derive(Debug, Clone)]
pub struct Activity {
    /// Its last use.
    pub last: Arc<LastUse>,
    /// Rested for so long, it is over.
    pub idle: Duration,
}

impl Activity {
    /// Whether it has rested too long. The end is exclusive: half an hour after the last use is too late.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.last.at().after(self.idle)
    }
}

/// The same session's, whatever the moment.
impl PartialEq for Activity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.last, &other.last) && self.idle == other.idle
    }
}

impl Eq for Activity {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_ends_to_the_microsecond_and_use_begins_it_anew() {
        let start = Timestamp::from_micros(1_000_000);
        let idle = Duration::from_secs(60);
        let activity = Activity { last: Arc::new(LastUse::new(start)), idle };
        let end = start.after(idle);
        assert!(!activity.is_over(end.before(Duration::from_micros(1))));
        assert!(activity.is_over(end));
        activity.last.raise(end);
        assert!(!activity.is_over(end));
        activity.last.raise(start);
        assert_eq!(activity.last.at(), end, "time does not go back");
    }
}
