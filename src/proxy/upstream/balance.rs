//! Whose turn it is.

use std::cell::Cell;

use crate::config::Balance;

/// Remembers where the last search ended.
#[derive(Debug)]
pub(super) struct Turn(Cell<usize>);

impl Turn {
    /// Workers begin at different targets, so that few requests on many workers do not all meet the first one.
    pub(super) fn new(worker: usize) -> Self {
        Self(Cell::new(worker))
    }

    /// One of the candidates: `(target, avoided, in flight)`, out of `all` targets. One that just refused a
    /// connection is taken only when there is no other.
    pub(super) fn choose(
        &self,
        balance: Balance,
        all: usize,
        candidates: impl Iterator<Item = (usize, bool, usize)>,
    ) -> Option<usize> {
        let start = self.0.get().checked_rem(all)?;
        // The next in the circle first: that is the order, or decides between equals.
        let distance = |target: usize| (target + all - start) % all;
        let rank = |&(target, avoided, in_flight): &(usize, bool, usize)| match balance {
            Balance::RoundRobin => (avoided, 0, distance(target)),
            Balance::LeastRequest => (avoided, in_flight, distance(target)),
        };
        let (chosen, ..) = candidates.min_by_key(rank)?;
        self.0.set(chosen + 1);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(turn: &Turn, balance: Balance, targets: &[(bool, usize)]) -> Option<usize> {
        let candidates =
            targets.iter().enumerate().map(|(at, &(avoided, in_flight))| (at, avoided, in_flight));
        turn.choose(balance, targets.len(), candidates)
    }

    #[test]
    fn round_robin_takes_each_in_turn() {
        let turn = Turn::new(4);
        let idle = [(false, 9), (false, 0), (false, 5)];
        let chosen: Vec<_> = (0..6).filter_map(|_| choose(&turn, Balance::RoundRobin, &idle)).collect();
        assert_eq!(chosen, [1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_least_busy_is_taken_and_equals_in_turn() {
        let turn = Turn::new(0);
        assert_eq!(choose(&turn, Balance::LeastRequest, &[(false, 2), (false, 1), (false, 2)]), Some(1));
        let equal = [(false, 1); 3];
        let chosen: Vec<_> = (0..4).filter_map(|_| choose(&turn, Balance::LeastRequest, &equal)).collect();
        assert_eq!(chosen, [2, 0, 1, 2]);
    }

    #[test]
    fn one_that_refused_is_the_last_resort() {
        let turn = Turn::new(0);
        for _ in 0..3 {
            assert_eq!(choose(&turn, Balance::RoundRobin, &[(true, 0), (false, 9)]), Some(1));
        }
        assert_eq!(choose(&turn, Balance::LeastRequest, &[(true, 0)]), Some(0));
        assert_eq!(choose(&turn, Balance::LeastRequest, &[]), None);
    }
}
