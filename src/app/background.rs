//! Work beside the requests: writing down uses, counting keys, tidying.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    domain::{
        id::KeyId,
        key::state::Status,
        time::{Clock, Timestamp},
    },
    proxy::{directory::Cache, usage::Use},
    runtime::tasks::Tasks,
    store::{
        Store, StoreError, keys,
        usage::{self, Used},
    },
    telemetry::metrics::Metrics,
};

/// How often uses are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Distinct keys, addresses and minutes whose uses wait while the store is out of reach.
const WAITING: usize = 100_000;
/// How often the keys are counted for the metrics: a walk through an index, so not often.
const COUNT_EVERY: Duration = Duration::from_secs(30);
/// How often idle limiters are dropped.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// How long the minutes of usage are kept: a quarter of a year and a little.
const USAGE_KEPT: Duration = Duration::from_secs(100 * 24 * 3600);
/// How often, and how many minutes at once, old usage is forgotten: an hour's worth and more, so it keeps up.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const PRUNE_AT_ONCE: u32 = 240;

/// Writes uses to the store, a batch a second. Ends when the last worker has ended, after the last batch.
pub async fn write_usage(store: Store, mut uses: mpsc::UnboundedReceiver<Vec<Use>>, metrics: Arc<Metrics>) {
    let mut waiting = Waiting::default();
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let more = tokio::select! {
            batch = uses.recv() => batch.map(|batch| waiting.add(batch)).is_some(),
            _ = tick.tick() => {
                waiting.write(&store, &metrics).await;
                true
            }
        };
        if !more {
            waiting.write(&store, &metrics).await;
            return;
        }
    }
}

/// Uses that are not in the store yet, one entry for each key, address and minute.
#[derive(Default)]
struct Waiting {
    uses: HashMap<(KeyId, Option<IpAddr>, i64), (u64, Timestamp)>,
    failing: bool,
}

impl Waiting {
    fn add(&mut self, batch: Vec<Use>) {
        for one in batch {
            let minute = one.last.seconds().div_euclid(60);
            let place = (one.key, one.client, minute);
            if self.uses.len() >= WAITING && !self.uses.contains_key(&place) {
                continue;
            }
            let (count, last) = self.uses.entry(place).or_insert((0, one.last));
            *count += one.count;
            *last = one.last.max(*last);
        }
    }

    /// What cannot be written stays, and is written with the next batch.
    async fn write(&mut self, store: &Store, metrics: &Metrics) {
        if self.uses.is_empty() {
            return;
        }
        let batch: Vec<_> =
            self.uses.iter().map(|(&(key, ip, _), &(count, last))| Used { key, ip, count, last }).collect();
        match usage::flush(store, &batch).await {
            Ok(()) => {
                self.uses.clear();
                self.failing = false;
            }
            Err(error) => self.complain(&error),
        }
        let unwritten: u64 = self.uses.values().map(|(count, _)| count).sum();
        metrics.store.usage_unflushed.set(i64::try_from(unwritten).unwrap_or(i64::MAX));
    }

    fn complain(&mut self, error: &StoreError) {
        if !self.failing {
            tracing::warn!(%error, "uses of keys cannot be written down; they wait in memory");
        }
        self.failing = true;
    }
}

/// Keeps the gauges of keys by status and by nearness of expiry.
pub async fn count_keys(store: Store, clock: Clock, metrics: Arc<Metrics>) {
    let mut tick = tokio::time::interval(COUNT_EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = count_once(&store, &clock, &metrics).await {
            tracing::debug!(%error, "the keys could not be counted");
        }
    }
}

async fn count_once(store: &Store, clock: &Clock, metrics: &Metrics) -> Result<(), StoreError> {
    let census = keys::census(&mut *store.read().await?, clock.now()).await?;
    for (status, count) in Status::ALL.into_iter().zip(census.by_status) {
        metrics.store.set_keys(status.as_str(), count);
    }
    for (within, count) in ["1d", "7d", "30d"].into_iter().zip(census.expiring) {
        metrics.store.set_keys_expiring(within, count);
    }
    Ok(())
}

/// Forgets the minutes of usage that nobody asks for any more.
pub async fn prune_usage(store: Store, clock: Clock) {
    let mut tick = tokio::time::interval(PRUNE_EVERY);
    loop {
        tick.tick().await;
        let before = clock.now().before(USAGE_KEPT);
        if let Err(error) = usage::prune(&store, before, PRUNE_AT_ONCE).await {
            tracing::debug!(%error, "old usage could not be pruned");
        }
    }
}

/// Drops limiters that nobody needs.
pub async fn tidy(cache: Cache) {
    let mut tick = tokio::time::interval(TIDY_EVERY);
    loop {
        tick.tick().await;
        cache.tidy();
    }
}

/// Starts what runs until the group is asked to end.
pub fn start(tasks: &Tasks, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let stopped = tasks.stopped();
    tasks.spawn(name, async move {
        tokio::select! {
            () = work => {}
            () = stopped => {}
        }
    });
}
