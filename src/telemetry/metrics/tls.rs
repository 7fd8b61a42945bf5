//! TLS with clients: handshakes, and how long certificates last.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{GaugeVec, IntGauge, Opts, Registry};

use super::{cells::Counter, family::Family};
use crate::domain::time::Timestamp;

/// What is counted of TLS.
#[derive(Debug)]
pub struct TlsMetrics {
    /// Handshakes that ended well.
    pub met: Arc<Counter>,
    /// Those that did not: a client that speaks something else, or has no good certificate.
    pub failed: Arc<Counter>,
    /// Those that took too long.
    pub timed_out: Arc<Counter>,
    /// 1 while the files that were last read are in force.
    pub last_ok: IntGauge,
    /// Certificates that are ordered from an authority.
    pub acme: AcmeMetrics,
    ends: GaugeVec,
    told: Mutex<()>,
}

/// Certificates that are ordered from an authority.
#[derive(Debug)]
pub struct AcmeMetrics {
    /// Orders that brought a certificate.
    pub issued: Arc<Counter>,
    /// Those that did not.
    pub failed: Arc<Counter>,
    /// Names that no certificate was there for yet.
    pub missing: IntGauge,
    /// Names whose last order failed.
    pub failing: IntGauge,
}

impl AcmeMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let orders = Family::register(
            registry,
            "latchgate_acme_orders_total",
            "Certificates ordered from an authority, by what came of it: issued, failed.",
            &["outcome"],
            Counter::default,
        )?;
        let gauge = |name, help| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            issued: orders.with(&["issued"]),
            failed: orders.with(&["failed"]),
            missing: gauge(
                "latchgate_acme_missing",
                "Names that a certificate is ordered for and not there yet.",
            )?,
            failing: gauge("latchgate_acme_failing", "Names whose last order of a certificate failed.")?,
        })
    }
}

impl TlsMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let handshakes = Family::register(
            registry,
            "latchgate_tls_handshakes_total",
            "TLS handshakes with clients, by what came of them: ok, failed, timeout.",
            &["outcome"],
            Counter::default,
        )?;
        let outcome = |outcome| handshakes.with(&[outcome]);
        let last_ok = IntGauge::new(
            "latchgate_tls_last_reload_successful",
            "1 when the certificate files that were last read are in force, 0 when older ones still are.",
        )?;
        last_ok.set(1);
        registry.register(Box::new(last_ok.clone()))?;
        let ends = GaugeVec::new(
            Opts::new(
                "latchgate_tls_certificate_not_after_seconds",
                "When a certificate in force ends, seconds since 1970, by its first name.",
            ),
            &["name"],
        )?;
        registry.register(Box::new(ends.clone()))?;
        Ok(Arc::new(Self {
            met: outcome("ok"),
            failed: outcome("failed"),
            timed_out: outcome("timeout"),
            last_ok,
            acme: AcmeMetrics::register(registry)?,
            ends,
            told: Mutex::default(),
        }))
    }

    /// These certificates are in force from now on, each with its name and its end. Where two have a name, the sooner
    /// end is told.
    pub fn certificates<'a>(&self, all: impl Iterator<Item = (&'a str, Timestamp)>) {
        let mut soonest = BTreeMap::new();
        for (name, ends) in all {
            let known = soonest.entry(name).or_insert(ends);
            *known = ends.min(*known);
        }
        let _one_at_a_time = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.ends.reset();
        for (name, ends) in soonest {
            self.ends.with_label_values(&[name]).set(ends.seconds() as f64);
        }
    }
}
