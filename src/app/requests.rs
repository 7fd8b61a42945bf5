//! Keeps the newest requests of each organization in the store, behind the answers.
//!
//! The access log's thread picks them (`telemetry/access_log/kept.rs`); here they are written once a second and the
//! oldest are removed. While the store cannot take them a few thousand wait; what comes then is left out and counted
//! where it is picked. Unlike uses of keys and the audit trail, the request log may lose rows, and never makes anybody
//! wait for it.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    domain::{id::OrgId, time::Clock},
    runtime::tasks::Stopped,
    store::{Store, StoreError, requests},
    telemetry::access_log::KeptRequest,
};

/// Requests that may wait between the log's thread and the task that writes them: two seconds' worth.
pub const QUEUE: usize = 2_000;
/// How often they are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How many wait while the store is out of reach.
const WAITING: usize = 4_000;
/// How often those that are too old are removed, and how many at once.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const PRUNE_AT_ONCE: u32 = 5_000;
/// Rows beyond what is kept are removed when they are one in so many.
const SLACK: u32 = 10;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Of each organization.
    pub most: NonZeroU32,
    /// For how long.
    pub age: Duration,
}

/// Writes requests until the log's thread has ended or the group is asked to end; what has come by then is written.
pub async fn keep(
    store: Store,
    mut incoming: mpsc::Receiver<KeptRequest>,
    kept: Kept,
    clock: Clock,
    mut stopped: Stopped,
) {
    let mut log = Log { store, kept, clock, waiting: Vec::new(), added: HashMap::new(), failing: false };
    let (mut write, mut prune) = (interval(WRITE_EVERY), interval(PRUNE_EVERY));
    write.set_missed_tick_behavior(MissedTickBehavior::Delay);
    prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let room = WAITING.saturating_sub(log.waiting.len());
        tokio::select! {
            count = incoming.recv_many(&mut log.waiting, room), if room > 0 => if count == 0 { break true },
            _ = write.tick() => log.write().await,
            _ = prune.tick() => log.prune().await,
            () = &mut stopped => break false,
        }
    };
    while !ended
        && log.waiting.len() < WAITING
        && let Ok(request) = incoming.try_recv()
    {
        log.waiting.push(request);
    }
    log.write().await;
}

struct Log {
    store: Store,
    kept: Kept,
    clock: Clock,
    waiting: Vec<KeptRequest>,
    /// Rows added to each organization's since they were last cut to what is kept.
    added: HashMap<OrgId, u32>,
    failing: bool,
}

impl Log {
    async fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        // Workers and their queues hand them over a little out of order.
        self.waiting.sort_by_key(|request| request.at);
        if let Err(error) = requests::append(&self.store, &self.waiting).await {
            self.complain(&error);
            return;
        }
        self.failing = false;
        for request in self.waiting.drain(..) {
            *self.added.entry(request.org).or_default() += 1;
        }
        let slack = self.kept.most.get() / SLACK + 1;
        let over: Vec<OrgId> =
            self.added.iter().filter(|(_, added)| **added >= slack).map(|(org, _)| *org).collect();
        for org in over {
            self.trim(org).await;
        }
    }

    async fn trim(&mut self, org: OrgId) {
        match requests::trim(&self.store, org, self.kept.most.get()).await {
            Ok(_) => drop(self.added.remove(&org)),
            Err(error) => {
                tracing::debug!(%error, "old requests could not be removed; they are removed later");
            }
        }
    }

    /// Removes what is too old, and what a run before this one left behind.
    async fn prune(&mut self) {
        let before = self.clock.now().before(self.kept.age);
        let pruned = async {
            while requests::prune(&self.store, before, PRUNE_AT_ONCE).await? > 0 {}
            requests::orgs(&mut *self.store.read().await?).await
        };
        match pruned.await {
            Ok(orgs) => {
                for org in orgs {
                    self.trim(org).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "old requests could not be removed; they are removed later");
            }
        }
    }

    fn complain(&mut self, error: &StoreError) {
        if !self.failing {
            tracing::warn!(%error, "requests cannot be kept; a few thousand wait, then they are left out");
        }
        self.failing = true;
    }
}
