//! What all workers share: the configuration, the memory of keys, the ways to count and log.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use super::{
    assertion::Ring,
    authenticate::{key::Keys, replay::Nonces, session::Sessions, signed::Signatures},
    directory::Cache,
    snapshot::Snapshot,
    turnstile::Turnstile,
};
use crate::{
    domain::time::Clock,
    runtime::crowd::Crowd,
    telemetry::{access_log::AccessLog, metrics::Metrics},
};

/// The data plane of one node.
pub struct Gateway {
    /// Proves keys.
    pub keys: Keys,
    /// Proves sessions.
    pub sessions: Sessions,
    /// Proves signed requests.
    pub signatures: Signatures,
    /// Remembers all of them.
    pub cache: Cache,
    /// What time it is.
    pub clock: Clock,
    /// What signs assertions.
    pub ring: ArcSwap<Ring>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// One line for each request.
    pub log: AccessLog,
    /// Connections of each address.
    pub crowd: Arc<Crowd>,
    /// Requests under way.
    pub turnstile: Turnstile,
    snapshot: ArcSwap<Snapshot>,
    /// Of the snapshot: read for each request, where the snapshot itself is read once for each worker.
    generation: AtomicU64,
}

impl Gateway {
    /// A data plane that serves this configuration.
    pub fn new(
        snapshot: Snapshot,
        keys: Keys,
        cache: Cache,
        nonces: Arc<dyn Nonces>,
        clock: Clock,
        metrics: Arc<Metrics>,
        log: AccessLog,
    ) -> Self {
        let sessions = Sessions::new(cache.clone(), keys.failures());
        let signatures = Signatures::new(cache.clone(), nonces, &keys, clock.clone());
        let generation = AtomicU64::new(snapshot.rules.generation);
        Self {
            keys,
            sessions,
            signatures,
            cache,
            clock,
            ring: ArcSwap::default(),
            metrics,
            log,
            crowd: Arc::default(),
            turnstile: Turnstile::default(),
            snapshot: ArcSwap::from_pointee(snapshot),
            generation,
        }
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Which configuration is in force.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// From the next request on, this configuration.
    pub fn reload(&self, snapshot: Snapshot) {
        let generation = snapshot.rules.generation;
        self.snapshot.store(Arc::new(snapshot));
        self.generation.store(generation, Ordering::Release);
    }
}
