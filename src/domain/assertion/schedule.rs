//! Which key signs, and when the next one is made.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// How long a key signs.
const PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);
/// So long before it signs a key is published, and so long after it has signed for the last time it still is: longer than
/// any well-behaved copy of the set is kept.
const OVERLAP: Duration = Duration::from_secs(3600);

/// When each of the keys that there are begins to sign; a key signs until the next one does.
#[derive(Debug, Clone, Default)]
pub struct Schedule(Vec<Timestamp>);

impl Schedule {
    /// Of these keys, in any order.
    pub fn new(begins: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut begins: Vec<_> = begins.into_iter().collect();
        begins.sort_unstable();
        Self(begins)
    }

    /// When a new key is to begin, if one has to be made now: at once where none signs, later where one follows.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let Some(newest) = self.0.last().filter(|_| self.0.iter().any(|begin| *begin <= now)) else {
            return Some(now);
        };
        (newest.after(PERIOD) <= now.after(OVERLAP)).then(|| now.after(OVERLAP))
    }

    /// When a key begins that somebody asks for: after everybody has heard of it.
    pub fn announced(now: Timestamp) -> Timestamp {
        now.after(OVERLAP)
    }

    /// Whether a key that began at this time is of no use any more: the next one signs, and has for long enough.
    pub fn is_over(&self, begin: Timestamp, now: Timestamp) -> bool {
        let next = self.0.iter().find(|other| **other > begin);
        next.is_some_and(|next| next.after(OVERLAP).after(super::LIFE) <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(days: u32) -> Timestamp {
        Timestamp::from_micros(0).after(DAY * days)
    }

    #[test]
    fn a_key_is_known_before_it_signs_and_after() {
        let none = Schedule::default();
        assert_eq!(none.next(at(1)), Some(at(1)), "the first signs at once");
        let one = Schedule::new([at(1)]);
        assert_eq!(one.next(at(30)), None);
        let due = at(31).before(HOUR);
        assert_eq!(one.next(due.before(Duration::from_secs(1))), None);
        assert_eq!(one.next(due), Some(at(31)));
        assert_eq!(one.next(at(90)), Some(at(90).after(HOUR)), "also after a long sleep nobody is surprised");
        assert!(!one.is_over(at(1), at(900)), "it signs until another does");
        let two = Schedule::new([at(31), at(1)]);
        assert_eq!(two.next(due), None);
        assert!(!two.is_over(at(1), at(31).after(HOUR)));
        assert!(two.is_over(at(1), at(31).after(HOUR).after(Duration::from_secs(60))));
        assert!(!two.is_over(at(31), at(60)));
        assert_eq!(
            Schedule::new([at(3)]).next(at(2)),
            Some(at(2)),
            "one that begins later signs nothing now"
        );
    }
}
