//! Writes uses of keys to the store, a batch a second, behind the answers.
//!
//! While the store is out of reach counts wait in memory. So do uses that are to be events of the audit trail, as many
//! as fit; of more than that the trail itself says how many are missing.
//!
//! What a batch a second costs is bounded by what is done with it: where many keys are in use, their uses are written down
//! as they are and counted a share of the keys each second, so that each key's row is changed once a minute.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use crate::{
    control::service::{Control, KeyUsed, KnownSources},
    domain::id::{KeyId, OrgId},
    proxy::usage::{KeyUse, Use, Uses},
    store::{
        StoreError,
        usage::{Used, waiting},
    },
    telemetry::metrics::Metrics,
};

/// How often uses are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Distinct keys, addresses and minutes whose uses wait while the store is out of reach.
const WAITING: usize = 100_000;
/// Uses that wait to become events.
const EACH_WAITING: usize = 20_000;
/// As many of them in one transaction, so that nobody else waits long for the store.
const EACH_AT_ONCE: usize = 5_000;

/// Writes what is counted. Ends when the last worker has ended, after the last batch.
pub async fn write(
    control: Arc<ArcSwap<Control>>,
    mut uses: mpsc::UnboundedReceiver<Uses>,
    metrics: Arc<Metrics>,
) {
    let mut waiting = Waiting::new();
    let mut tick = interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let more = tokio::select! {
            batch = uses.recv() => batch.map(|batch| waiting.add(batch)).is_some(),
            _ = tick.tick() => {
                waiting.write(&control.load_full(), &metrics).await;
                true
            }
        };
        if !more {
            waiting.write(&control.load_full(), &metrics).await;
            return;
        }
    }
}

/// Uses that are not in the store yet.
struct Waiting {
    counts: Vec<Used>,
    /// How many handed over what is in `counts`; of one alone no two are alike.
    deliveries: usize,
    /// Uses to be events.
    each: Vec<KeyUsed>,
    /// How many uses of an organization's keys will be missing among its events.
    missing: HashMap<OrgId, u64>,
    known: KnownSources,
    /// The share of the keys whose turn it is to be counted, and how many shares have something to count.
    share: u8,
    shares_left: u8,
    failing: bool,
}

impl Waiting {
    /// None. What the process before this one has written down and not counted is counted by this one.
    fn new() -> Self {
        Self {
            counts: Vec::new(),
            deliveries: 0,
            each: Vec::new(),
            missing: HashMap::new(),
            known: KnownSources::default(),
            share: 0,
            shares_left: waiting::SHARES,
            failing: false,
        }
    }

    fn add(&mut self, batch: Uses) {
        self.deliveries += 1;
        let counts = batch.counts.into_iter().map(counted);
        if self.counts.is_empty() {
            // In the memory that they came in.
            self.counts = counts.collect();
        } else {
            self.counts.extend(counts);
        }
        if self.counts.len() > WAITING {
            self.join();
            // What has waited longest stays, whosever it is.
            self.counts.sort_unstable_by_key(|used| used.last);
            self.counts.truncate(WAITING);
        }
        for one in batch.each {
            if self.each.len() < EACH_WAITING {
                self.each.push(named(one));
            } else {
                *self.missing.entry(one.key.principal.boundary.org()).or_default() += 1;
            }
        }
        for (org, count) in batch.unnamed {
            *self.missing.entry(org).or_default() += count;
        }
    }

    /// Of a key, an address and a minute there is one then.
    fn join(&mut self) {
        if self.deliveries <= 1 {
            return;
        }
        self.counts.sort_by_key(place);
        self.counts.dedup_by(|next, one| {
            let same = place(next) == place(one);
            if same {
                one.count += next.count;
                one.last = one.last.max(next.last);
            }
            same
        });
        // What comes may be like what is here.
        self.deliveries = 1;
    }

    /// What cannot be written stays, and is written with the next batch.
    async fn write(&mut self, control: &Control, metrics: &Metrics) {
        let is_empty = self.counts.is_empty() && self.each.is_empty() && self.missing.is_empty();
        if is_empty && self.shares_left == 0 {
            return;
        }
        match self.try_to(control, metrics).await {
            Ok(()) => self.failing = false,
            Err(error) => self.complain(&error),
        }
        let unwritten: u64 = self.counts.iter().map(|used| used.count).sum();
        metrics.store.usage_unflushed.set(i64::try_from(unwritten).unwrap_or(i64::MAX));
    }

    async fn try_to(&mut self, control: &Control, metrics: &Metrics) -> Result<(), StoreError> {
        // Each worker hands over its own, in order; together they are in none.
        self.each.sort_by_key(|used| used.at);
        self.join();
        let first = self.each.len().min(EACH_AT_ONCE);
        let share = (self.shares_left > 0).then_some(self.share);
        let wait = control.write_uses(&self.counts, &self.each[..first], &mut self.known, share).await?;
        self.share = (self.share + 1) % waiting::SHARES;
        self.shares_left = if wait { waiting::SHARES } else { self.shares_left.saturating_sub(1) };
        (self.counts, self.deliveries) = (Vec::new(), 0);
        self.each.drain(..first);
        while !self.each.is_empty() {
            let next = self.each.len().min(EACH_AT_ONCE);
            control.write_uses(&[], &self.each[..next], &mut self.known, None).await?;
            self.each.drain(..next);
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = self.missing.iter().map(|(org, count)| (*org, *count)).collect();
        control.write_missing_uses(&missing).await?;
        self.missing.clear();
        let count = missing.iter().map(|(_, count)| count).sum();
        metrics.audit_dropped.add(count);
        tracing::error!(
            count,
            "uses of keys are missing in the audit trail: more came than could be written down"
        );
        Ok(())
    }

    fn complain(&mut self, error: &StoreError) {
        if !self.failing {
            tracing::warn!(%error, "uses of keys cannot be written down; they wait in memory");
        }
        self.failing = true;
    }
}

fn counted(used: Use) -> Used {
    let Use { key, client, count, last } = used;
    Used { key, ip: client, count, last }
}

fn place(used: &Used) -> (KeyId, Option<IpAddr>, i64) {
    (used.key, used.ip, used.last.seconds().div_euclid(60))
}

fn named(used: KeyUse) -> KeyUsed {
    let principal = &used.key.principal;
    KeyUsed {
        at: used.at,
        ip: used.client,
        request_id: used.request_id.and_then(|id| id.to_str().ok().map(str::to_owned)),
        prefix: principal.credential.to_string(),
        org: principal.boundary.org(),
        team: principal.boundary.team(),
    }
}
