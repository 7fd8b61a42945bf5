//! What the node knows about itself: caches, hashing, its store, its keys, its configuration.

use std::{sync::Arc, time::Duration};

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};

use super::{
    cells::{Counter, Histogram},
    family::Family,
    traffic::REQUEST_BOUNDS,
};
use crate::domain::time::Timestamp;

/// What happened to one cache. Its size is set at scrape, see [`Metrics::on_scrape`](super::Metrics::on_scrape).
#[derive(Debug)]
pub struct CacheMetrics {
    /// Found.
    pub hit: Arc<Counter>,
    /// Not found: loaded or computed.
    pub miss: Arc<Counter>,
    /// Put in.
    pub insert: Arc<Counter>,
    /// Thrown out, for room or because it had changed.
    pub evict: Arc<Counter>,
    /// Found, and what was found is that there is none.
    pub negative_hit: Arc<Counter>,
    /// How many are held.
    pub entries: IntGauge,
}

/// The bcrypt pool.
#[derive(Debug)]
pub struct HashingMetrics {
    /// Time in bcrypt itself, without the wait.
    pub duration: Arc<Histogram>,
    /// Jobs that wait.
    pub queue: IntGauge,
}

/// The store as this node sees it.
#[derive(Debug)]
pub struct StoreMetrics {
    /// 1 when the last poll of the change feed succeeded.
    pub up: IntGauge,
    /// Age of what this node knows.
    pub staleness_seconds: Gauge,
    /// From the commit of a change to its effect on this node.
    pub revocation_lag: Arc<Histogram>,
    /// Rows that could not be read as what they should be.
    pub corrupt_rows: Arc<Counter>,
    /// Uses of keys that are counted but not written yet.
    pub usage_unflushed: IntGauge,
    keys: IntGaugeVec,
    keys_expiring: IntGaugeVec,
    audit_events: Arc<Family<Counter>>,
}

impl StoreMetrics {
    /// How many keys have this status (`active`, `rotating`, `expired`, `revoked`).
    pub fn set_keys(&self, status: &str, count: i64) {
        self.keys.with_label_values(&[status]).set(count);
    }

    /// How many live keys expire within this time (`1d`, `7d`, `30d`).
    pub fn set_keys_expiring(&self, within: &str, count: i64) {
        self.keys_expiring.with_label_values(&[within]).set(count);
    }

    /// An audit row was written; `action` is one of the fixed verbs.
    pub fn audited(&self, action: &str) {
        self.audit_events.with(&[action]).inc();
    }
}

/// Messages about guessing, and what became of them.
#[derive(Debug)]
pub struct AlertMetrics {
    /// Taken by their receiver.
    pub sent: Arc<Counter>,
    /// Given up.
    pub failed: Arc<Counter>,
    /// Too many waited already.
    pub dropped: Arc<Counter>,
}

/// Mails on their way out.
#[derive(Debug)]
pub struct MailMetrics {
    /// How many are not delivered yet.
    pub waiting: IntGauge,
    attempts: Arc<Family<Counter>>,
}

impl MailMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            waiting: gauge(registry, "latchgate_mails_waiting", "Mails that are not delivered yet.")?,
            attempts: Family::register(
                registry,
                "latchgate_mail_attempts_total",
                "Attempts to deliver a mail, by what came of them.",
                &["outcome"],
                Counter::default,
            )?,
        })
    }

    /// So many attempts came to this: `sent`, `postponed`, `given_up`.
    pub fn count(&self, outcome: &'static str, attempts: u32) {
        if attempts > 0 {
            self.attempts.with(&[outcome]).add(u64::from(attempts));
        }
    }
}

/// The configuration file.
#[derive(Debug)]
pub struct ConfigMetrics {
    last_success: Gauge,
    last_ok: IntGauge,
}

impl ConfigMetrics {
    /// The file was read and is in effect since `now` (start or reload).
    pub fn loaded(&self, now: Timestamp) {
        self.last_success.set(now.micros() as f64 / 1e6);
        self.last_ok.set(1);
    }

    /// The file was refused; the old one stays in effect.
    pub fn refused(&self) {
        self.last_ok.set(0);
    }
}

#[derive(Debug)]
pub(super) struct Caches {
    events: Arc<Family<Counter>>,
    entries: IntGaugeVec,
}

impl Caches {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            events: Family::register(
                registry,
                "latchgate_cache_events_total",
                "What happened to cached entries.",
                &["cache", "event"],
                Counter::default,
            )?,
            entries: gauges(registry, "latchgate_cache_entries", "Entries held in memory.", "cache")?,
        })
    }

    pub(super) fn named(&self, name: &str) -> Arc<CacheMetrics> {
        let event = |event| self.events.with(&[name, event]);
        Arc::new(CacheMetrics {
            hit: event("hit"),
            miss: event("miss"),
            insert: event("insert"),
            evict: event("evict"),
            negative_hit: event("negative_hit"),
            entries: self.entries.with_label_values(&[name]),
        })
    }
}

impl HashingMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let duration = Family::register(
            registry,
            "latchgate_bcrypt_duration_seconds",
            "Time of one bcrypt computation, without the wait for a thread.",
            &[],
            || Histogram::new(&BCRYPT_BOUNDS),
        )?;
        Ok(Self {
            duration: duration.with(&[]),
            queue: gauge(registry, "latchgate_bcrypt_queue", "bcrypt computations that wait for a thread.")?,
        })
    }
}

impl StoreMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lag = Family::register(
            registry,
            "latchgate_revocation_lag_seconds",
            "Time from the commit of a change to its effect on this node.",
            &[],
            || Histogram::new(&REQUEST_BOUNDS),
        )?;
        let corrupt = Family::register(
            registry,
            "latchgate_store_corrupt_rows_total",
            "Rows read from the store that make no sense; what they describe is refused.",
            &[],
            Counter::default,
        )?;
        let staleness = Gauge::new(
            "latchgate_store_staleness_seconds",
            "Time since this node last confirmed that it knows every change.",
        )?;
        registry.register(Box::new(staleness.clone()))?;
        Ok(Self {
            up: gauge(registry, "latchgate_store_up", "1 when the store answered the last poll.")?,
            staleness_seconds: staleness,
            revocation_lag: lag.with(&[]),
            corrupt_rows: corrupt.with(&[]),
            usage_unflushed: gauge(
                registry,
                "latchgate_usage_unflushed",
                "Uses of keys that are counted but not written to the store yet.",
            )?,
            keys: gauges(registry, "latchgate_keys", "API keys in the store, by status.", "status")?,
            keys_expiring: gauges(
                registry,
                "latchgate_keys_expiring",
                "Live API keys that expire within this time.",
                "within",
            )?,
            audit_events: Family::register(
                registry,
                "latchgate_audit_events_total",
                "Audit rows written, by action.",
                &["action"],
                Counter::default,
            )?,
        })
    }
}

impl AlertMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let alerts = Family::register(
            registry,
            "latchgate_alerts_total",
            "Messages about guessing, by what became of them: sent, failed or dropped.",
            &["outcome"],
            Counter::default,
        )?;
        let outcome = |outcome| alerts.with(&[outcome]);
        Ok(Self { sent: outcome("sent"), failed: outcome("failed"), dropped: outcome("dropped") })
    }
}

impl ConfigMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let last_success = Gauge::new(
            "latchgate_config_last_reload_success_timestamp_seconds",
            "When the configuration in effect was read, seconds since 1970.",
        )?;
        registry.register(Box::new(last_success.clone()))?;
        let last_ok = gauge(
            registry,
            "latchgate_config_last_reload_successful",
            "1 when the last configuration that was read is in effect, 0 when it was refused.",
        )?;
        Ok(Self { last_success, last_ok })
    }
}

/// A single gauge that is always exposed.
fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// Gauges by one label; a series appears when it is first set, so nothing claims to be zero unasked.
fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

/// bcrypt at cost 10 takes 54 ms, at cost 12 218 ms.
static BCRYPT_BOUNDS: [Duration; 10] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
];
