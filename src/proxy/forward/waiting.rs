//! How long an upstream may take to begin its answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::{domain::time::Clock, proxy::turn::Turn};

/// The time until an answer begins. A timer is set only where it takes so long that somebody has looked at the turn
/// meanwhile, which nearly no answer does; a patience that ends before is timed at once.
pub(super) struct Waiting<'a> {
    turn: &'a Turn,
    clock: Clock,
    /// By the clock's uptime.
    since: Duration,
    patience: Duration,
    /// Whether a look wakes the task, or has.
    is_looked_for: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'a> Waiting<'a> {
    pub(super) const fn new(turn: &'a Turn, clock: Clock, now: Duration, patience: Duration) -> Self {
        Self { turn, clock, since: now, patience, is_looked_for: false, timer: None }
    }

    /// It begins now, or anew.
    pub(super) fn begin(&mut self) {
        self.since = self.clock.uptime();
        if let Some(timer) = &mut self.timer {
            timer.set(sleep(self.patience));
        }
    }

    /// Completes when it has taken too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_looked_for && self.patience > LOOKED_AT_WITHIN {
            self.is_looked_for = true;
            self.turn.wake_later();
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| {
            let waited = self.clock.uptime().saturating_sub(self.since);
            Box::pin(sleep(self.patience.saturating_sub(waited)))
        });
        timer.as_mut().poll(context)
    }
}

/// Two looks, and some time to spare.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::domain::time::Timestamp;

    /// Whether there is a timer after the first poll, and after one `later`, which it ends a moment after that.
    async fn timed(patience: Duration, later: Duration) -> [bool; 2] {
        let (turn, clock) = (Turn::default(), Clock::manual(Timestamp::default()));
        let mut waiting = Waiting::new(&turn, clock.clone(), clock.uptime(), patience);
        let mut timed = [false; 2];
        for timed in &mut timed {
            assert!(!poll_fn(|context| Poll::Ready(waiting.poll(context).is_ready())).await);
            *timed = waiting.timer.is_some();
            clock.advance(later);
        }
        poll_fn(|context| waiting.poll(context)).await;
        timed
    }

    #[tokio::test]
    async fn a_timer_is_set_at_once_or_by_whoever_was_looked_at() {
        let (soon, late) = (Duration::from_millis(50), Duration::from_secs(60));
        assert_eq!(timed(soon, Duration::ZERO).await, [true, true]);
        assert_eq!(timed(late, Duration::from_millis(59_950)).await, [false, true]);
    }
}
