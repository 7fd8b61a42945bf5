//! How far, and how lately, this node has heard the change feed.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::watch;

use crate::{config, domain::id::ChangeId};

/// Shared by all workers; what a request reads of it is one or two atomic loads.
#[derive(Debug)]
pub(super) struct Feed {
    /// The newest change heard of; -1 before the first.
    position: AtomicI64,
    /// The newest change applied, for those who wait for it.
    applied: watch::Sender<ChangeId>,
    /// Microseconds of uptime at which the store last had nothing newer.
    confirmed_at: AtomicU64,
    up: AtomicBool,
    revocation_bound: Duration,
    max_staleness: Duration,
}

/// Whether memory may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It may: the feed was heard lately, or the store is down and memory stands in for it.
    Fresh,
    /// Nothing was heard for longer than `revocation_bound`, and nothing is known to be wrong: ask first.
    Silent,
    /// Nothing was heard for longer than `max_staleness`.
    Lost,
}

impl Feed {
    pub(super) fn new(settings: &config::Auth) -> Self {
        Self {
            position: AtomicI64::new(-1),
            applied: watch::Sender::new(ChangeId(-1)),
            confirmed_at: AtomicU64::new(0),
            up: AtomicBool::new(true),
            revocation_bound: settings.revocation_bound,
            max_staleness: settings.max_staleness,
        }
    }

    pub(super) fn position(&self) -> ChangeId {
        ChangeId(self.position.load(Ordering::SeqCst))
    }

    /// The position, once there is one.
    pub(super) fn begun(&self) -> Option<ChangeId> {
        Some(self.position()).filter(|position| position.0 >= 0)
    }

    pub(super) fn reach(&self, upto: ChangeId) {
        self.position.store(upto.0, Ordering::SeqCst);
    }

    /// Everything up to this position is applied; the store was asked at `uptime`.
    pub(super) fn confirm(&self, uptime: Duration, upto: ChangeId) {
        let micros = u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX);
        self.confirmed_at.store(micros, Ordering::SeqCst);
        self.up.store(true, Ordering::Release);
        self.applied.send_if_modified(|applied| std::mem::replace(applied, upto) != upto);
    }

    /// The store did not answer.
    pub(super) fn failed(&self) {
        self.up.store(false, Ordering::Release);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn applied(&self) -> watch::Receiver<ChangeId> {
        self.applied.subscribe()
    }

    pub(super) fn age(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(Duration::from_micros(self.confirmed_at.load(Ordering::Relaxed)))
    }

    #[inline]
    pub(super) fn freshness(&self, uptime: Duration) -> Freshness {
        let age = self.age(uptime);
        if age <= self.revocation_bound {
            Freshness::Fresh
        } else if self.is_up() {
            Freshness::Silent
        } else if age <= self.max_staleness {
            Freshness::Fresh
        } else {
            Freshness::Lost
        }
    }
}
