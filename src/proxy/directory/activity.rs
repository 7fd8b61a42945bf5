//! When each session in use was last used, whatever becomes of its records: a change of the organization ends them
//! all, and the time since the last writing must not be forgotten with them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::domain::{id::SessionId, session::LastUse, time::Timestamp};

/// The sessions that were read and are still held, or were used since the last writing.
#[derive(Debug, Default)]
pub(super) struct Activities(Mutex<HashMap<SessionId, Kept>>);

#[derive(Debug)]
struct Kept {
    last: Arc<LastUse>,
    /// In microseconds: what the store has.
    written: AtomicI64,
}

impl Activities {
    /// That of a session, which the store says was used at this time.
    pub(super) fn of(&self, session: SessionId, stored: Timestamp) -> Arc<LastUse> {
        let mut kept = self.kept();
        let fresh =
            || Kept { last: Arc::new(LastUse::new(stored)), written: AtomicI64::new(stored.micros()) };
        let entry = kept.entry(session).or_insert_with(fresh);
        entry.last.raise(stored);
        entry.written.fetch_max(stored.micros(), Ordering::Relaxed);
        Arc::clone(&entry.last)
    }

    /// The sessions whose last use is at least `grain` later than what the store has.
    pub(super) fn unwritten(&self, grain: Duration) -> Vec<(SessionId, Timestamp)> {
        let mut due = Vec::new();
        for (session, kept) in &*self.kept() {
            let (last, written) = (kept.last.at(), kept.written.load(Ordering::Relaxed));
            if last.micros() > written && last.since(Timestamp::from_micros(written)) >= grain {
                due.push((*session, last));
            }
        }
        due
    }

    /// The store has these now. What nobody holds any more is let go.
    pub(super) fn written(&self, batch: &[(SessionId, Timestamp)]) {
        let mut kept = self.kept();
        for (session, at) in batch {
            if let Some(entry) = kept.get(session) {
                entry.written.fetch_max(at.micros(), Ordering::Relaxed);
            }
        }
        kept.retain(|_, entry| {
            let settled = entry.last.at().micros() <= entry.written.load(Ordering::Relaxed);
            Arc::strong_count(&entry.last) > 1 || !settled
        });
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<SessionId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_once_and_survives_the_record() {
        let start = Timestamp::from_micros(1_000_000_000);
        let later = start.after(Duration::from_secs(90));
        let (activities, session) = (Activities::default(), SessionId::new(start));
        activities.of(session, start).raise(later);
        assert!(activities.unwritten(Duration::from_secs(91)).is_empty());
        assert_eq!(activities.of(session, start).at(), later, "known better than the store");
        let due = activities.unwritten(Duration::from_secs(90));
        assert_eq!(due, [(session, later)]);
        activities.written(&due);
        assert!(activities.unwritten(Duration::ZERO).is_empty());
        assert!(activities.kept().is_empty(), "nobody holds it");
    }
}
