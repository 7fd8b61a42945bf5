//! What a service manager is told (sd_notify(3)): that the gateway serves, reloads, ends, and that it is alive.
//!
//! Without a manager all of it does nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::proxy::server::Phase;

/// Requests are answered. The process is named because it may have taken the place of the one that the manager
/// started.
pub fn ready() {
    tell(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows, whatever becomes of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic time for the service manager"),
    }
}

/// The gateway is about to end, and nobody takes its place.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells a manager with a watchdog that the gateway is alive, as long as it is: every worker turns, and this task,
/// on the control runtime, too. A gateway that hangs is restarted. None where no watchdog watches.
pub fn watchdog(
    pulses: Vec<Arc<AtomicU64>>,
    phase: watch::Receiver<Phase>,
) -> Option<impl Future<Output = ()>> {
    let patience = sd_notify::watchdog_enabled()?;
    Some(async move {
        let mut every = tokio::time::interval((patience / 3).max(LONGER_THAN_A_BEAT));
        let mut pulse = Pulse::new(pulses);
        loop {
            every.tick().await;
            // On the way out workers wait for what runs, and beat no more.
            if *phase.borrow() != Phase::Running || pulse.goes_on() {
                tell(&[NotifyState::Watchdog]);
            }
        }
    })
}

/// The workers' beats, as they were seen last.
struct Pulse {
    beats: Vec<(Arc<AtomicU64>, u64)>,
}

impl Pulse {
    fn new(pulses: Vec<Arc<AtomicU64>>) -> Self {
        Self { beats: pulses.into_iter().map(|pulse| (pulse, 0)).collect() }
    }

    /// Whether each has beaten since the last call.
    fn goes_on(&mut self) -> bool {
        let mut all = true;
        for (pulse, last) in &mut self.beats {
            let now = pulse.load(Ordering::Relaxed);
            all &= now != *last;
            *last = now;
        }
        all
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told how the gateway is");
    }
}

/// Workers beat once a second; looking more often would take that for a hang.
const LONGER_THAN_A_BEAT: Duration = Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_that_hangs_is_enough() {
        let pulses = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let mut pulse = Pulse::new(pulses.to_vec());
        let beat = |which: usize| pulses[which].fetch_add(1, Ordering::Relaxed);
        beat(0);
        beat(1);
        assert!(pulse.goes_on());
        beat(0);
        assert!(!pulse.goes_on());
        beat(0);
        beat(1);
        assert!(pulse.goes_on());
    }
}
