//! The numbers behind `/metrics`.
//!
//! Whoever counts on the request path resolves its handles beforehand ([`Metrics::route`], [`Metrics::upstream`],
//! [`Metrics::cache`]): counting then is one or two additions in a cache line of the calling core. There is no
//! global registry, so several gateways in one process stay apart. No label ever carries a key, a user, a tenant
//! or a client address: every label comes from the configuration or from a fixed list, so a client cannot make
//! series.

pub(in crate::telemetry) mod auth;
pub(in crate::telemetry) mod cells;
mod family;
mod state;
mod tls;
mod traffic;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{IntGauge, Opts, Registry, TextEncoder, process_collector::ProcessCollector};

use self::{family::Family, state::Caches, traffic::Traffic};

pub use self::{
    auth::{AuthMetrics, Outcome},
    cells::{Counter, Held, Histogram, Level},
    state::{AlertMetrics, CacheMetrics, ConfigMetrics, HashingMetrics, MailMetrics, StoreMetrics},
    tls::TlsMetrics,
    traffic::{RouteMetrics, UpstreamMetrics},
};

/// All metrics of one gateway.
pub struct Metrics {
    /// Decisions.
    pub auth: AuthMetrics,
    /// The bcrypt pool.
    pub hashing: HashingMetrics,
    /// The store, the change feed and what is kept there.
    pub store: StoreMetrics,
    /// Mails on their way out.
    pub mails: MailMetrics,
    /// The configuration file.
    pub config: ConfigMetrics,
    /// TLS with clients.
    pub tls: Arc<TlsMetrics>,
    /// Lines that the access log had to drop.
    pub access_log_dropped: Arc<Counter>,
    /// Messages about guessing.
    pub alerts: AlertMetrics,
    /// Uses of keys that found no place in the audit trail.
    pub audit_dropped: Arc<Counter>,
    /// Requests that were not kept for their tenants to look at.
    pub request_log_dropped: Arc<Counter>,
    /// Background tasks, connections and jobs that ended in a panic.
    pub panics: Arc<Counter>,
    traffic: Traffic,
    caches: Caches,
    registry: Registry,
    at_scrape: Mutex<Vec<AtScrape>>,
}

type AtScrape = Box<dyn Fn(&Metrics) + Send + Sync>;

impl Metrics {
    /// Registers everything. Errors only if two metrics had the same name, that is never.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = Opts::new("latchgate_build_info", "1, with the version that runs as its label.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        registry.register(Box::new(build))?;
        let single = |name, help| {
            Family::register(&registry, name, help, &[], Counter::default).map(|family| family.with(&[]))
        };
        Ok(Arc::new(Self {
            auth: AuthMetrics::register(&registry)?,
            hashing: HashingMetrics::register(&registry)?,
            store: StoreMetrics::register(&registry)?,
            mails: MailMetrics::register(&registry)?,
            config: ConfigMetrics::register(&registry)?,
            tls: TlsMetrics::register(&registry)?,
            access_log_dropped: single(
                "latchgate_access_log_dropped_total",
                "Access log lines dropped because standard output did not take them in time.",
            )?,
            alerts: AlertMetrics::register(&registry)?,
            audit_dropped: single(
                "latchgate_audit_dropped_total",
                "Uses of keys that the audit trail only has as a number: more came than could be written down.",
            )?,
            request_log_dropped: single(
                "latchgate_request_log_dropped_total",
                "Requests that the request log left out: too many a second, or the store did not take them.",
            )?,
            panics: single(
                "latchgate_panics_total",
                "Tasks and jobs that ended in a panic; each is a bug worth a report.",
            )?,
            traffic: Traffic::register(&registry)?,
            caches: Caches::register(&registry)?,
            at_scrape: Mutex::default(),
            registry,
        }))
    }

    /// The handles of the route with this name; `none` is for requests that matched no route. A reload asks
    /// again and goes on counting where it was.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.traffic.route(name)
    }

    /// The handles of the upstream with this name.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.traffic.upstream(name)
    }

    /// The targets of upstreams: upstream and target, and whether requests go there. There are no others.
    pub fn targets(&self, now: Vec<([String; 2], bool)>) {
        self.traffic.set_targets(now);
    }

    /// Open connections of a listener (`gateway`, `admin`, `ops`).
    pub fn connections(&self, listener: &str) -> Arc<Level> {
        self.traffic.connections(listener)
    }

    /// The handles of the cache with this name.
    pub fn cache(&self, name: &str) -> Arc<CacheMetrics> {
        self.caches.named(name)
    }

    /// Runs `set` before each scrape: for gauges that are cheaper read when asked than kept up to date. It must
    /// not wait for anything.
    pub fn on_scrape(&self, set: impl Fn(&Self) + Send + Sync + 'static) {
        self.at_scrape.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(set));
    }

    /// The text exposition format, version 0.0.4.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        for set in self.at_scrape.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            set(self);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{access::Method, time::Timestamp};

    /// One series of everything, as a busy gateway would have.
    fn busy() -> Arc<Metrics> {
        let metrics = Metrics::new().expect("names are distinct");
        metrics.route("scans").answered(200, Duration::from_millis(3));
        metrics.upstream("scanner").duration.observe(Duration::from_millis(2));
        metrics.auth.decided(Some(Method::ApiKey), Outcome::OK, Duration::from_micros(2));
        metrics.cache("keys").hit.inc();
        metrics.connections("gateway").enter();
        metrics.store.set_keys("active", 3);
        metrics.store.set_keys_expiring("7d", 1);
        metrics.store.audited("create");
        metrics.tls.certificates(std::iter::once(("gate.example", Timestamp::from_micros(1))));
        metrics.on_scrape(|metrics| metrics.store.up.set(1));
        metrics
    }

    #[test]
    fn every_documented_name_is_exposed_with_help() {
        let text = busy().encode().expect("encodes");
        for name in [
            "latchgate_requests_total",
            "latchgate_request_duration_seconds",
            "latchgate_upstream_duration_seconds",
            "latchgate_auth_total",
            "latchgate_auth_duration_seconds",
            "latchgate_cache_events_total",
            "latchgate_cache_entries",
            "latchgate_bcrypt_duration_seconds",
            "latchgate_bcrypt_queue",
            "latchgate_rate_limited_total",
            "latchgate_revocation_lag_seconds",
            "latchgate_store_up",
            "latchgate_store_staleness_seconds",
            "latchgate_store_corrupt_rows_total",
            "latchgate_upstream_requests_in_flight",
            "latchgate_connections",
            "latchgate_keys",
            "latchgate_keys_expiring",
            "latchgate_usage_unflushed",
            "latchgate_audit_events_total",
            "latchgate_config_last_reload_success_timestamp_seconds",
            "latchgate_config_last_reload_successful",
            "latchgate_tls_handshakes_total",
            "latchgate_tls_last_reload_successful",
            "latchgate_tls_certificate_not_after_seconds",
            "latchgate_build_info",
            "latchgate_access_log_dropped_total",
            "latchgate_request_log_dropped_total",
            "latchgate_audit_dropped_total",
            "latchgate_alerts_total",
            "latchgate_panics_total",
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            assert!(text.contains(&format!("# HELP {name} ")), "{name} is missing:\n{text}");
            assert!(text.contains(&format!("# TYPE {name} ")), "{name} has no type");
        }
        assert!(text.contains("latchgate_requests_total{route=\"scans\",code=\"200\"} 1\n"), "{text}");
        assert!(text.contains("latchgate_auth_total{method=\"api_key\",outcome=\"ok\"} 1\n"), "{text}");
        assert!(text.contains("latchgate_store_up 1\n"), "callbacks run before the scrape");
    }

    #[test]
    fn a_route_that_comes_back_goes_on_counting() {
        let metrics = busy();
        metrics.route("scans").answered(200, Duration::ZERO);
        let text = metrics.encode().expect("encodes");
        assert!(text.contains("latchgate_requests_total{route=\"scans\",code=\"200\"} 2\n"), "{text}");
        assert!(text.contains("latchgate_request_duration_seconds_count{route=\"scans\"} 2\n"), "{text}");
    }

    /// The number of series has a bound: an upstream may answer any status.
    #[test]
    fn statuses_outside_http_share_one_series() {
        let metrics = Metrics::new().expect("names are distinct");
        let route = metrics.route("odd");
        for status in [0, 99, 600, 999, u16::MAX] {
            route.answered(status, Duration::ZERO);
        }
        let text = metrics.encode().expect("encodes");
        assert!(text.contains("latchgate_requests_total{route=\"odd\",code=\"other\"} 5\n"), "{text}");
    }

    #[test]
    fn gateways_in_one_process_stay_apart() {
        let (one, other) = (busy(), Metrics::new().expect("names are distinct"));
        drop(one);
        let text = other.encode().expect("encodes");
        assert!(!text.contains("route=\"scans\""), "{text}");
    }
}
