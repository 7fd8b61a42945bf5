//! Requests as a route and an upstream see them.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use prometheus::{IntGaugeVec, Opts, Registry};

use super::{
    cells::{Counter, Histogram, Level},
    family::Family,
};

/// What is counted for one route. Resolved once, when the route table is built.
#[derive(Debug)]
pub struct RouteMetrics {
    route: Box<str>,
    requests: Arc<Family<Counter>>,
    /// By status code, each made when it is first answered; the last place is for what is no HTTP status.
    codes: Box<[OnceLock<Arc<Counter>>]>,
    duration: Arc<Histogram>,
    limited: Arc<Counter>,
}

impl RouteMetrics {
    /// A request was answered: with this status, this long after its head had been read.
    pub fn answered(&self, status: u16, took: Duration) {
        self.count(status).inc();
        self.duration.observe(took);
    }

    /// A request was refused by a rate limit.
    pub fn limited(&self) {
        self.limited.inc();
    }

    /// The route's name: its label.
    pub fn name(&self) -> &str {
        &self.route
    }

    /// An upstream may answer any number, hence the bound on what can become a series.
    fn count(&self, status: u16) -> &Counter {
        let place = usize::from(status).wrapping_sub(LOWEST).min(STATUSES);
        self.codes[place].get_or_init(|| {
            let code = if place < STATUSES { status.to_string() } else { "other".to_owned() };
            self.requests.with(&[&self.route, &code])
        })
    }
}

const LOWEST: usize = 100;
const STATUSES: usize = 500;

/// What is counted for one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// From the first byte sent to the head of the answer.
    pub duration: Arc<Histogram>,
    /// Requests that were sent and whose answer has not ended.
    pub in_flight: Arc<Level>,
}

/// The families behind routes, upstreams and listeners.
#[derive(Debug)]
pub(super) struct Traffic {
    requests: Arc<Family<Counter>>,
    request_duration: Arc<Family<Histogram>>,
    limited: Arc<Family<Counter>>,
    upstream_duration: Arc<Family<Histogram>>,
    in_flight: Arc<Family<Level>>,
    connections: Arc<Family<Level>>,
    upstream_up: IntGaugeVec,
    /// The series that there are.
    targets: Mutex<Vec<[String; 2]>>,
}

impl Traffic {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let text = "1 while requests go to a target of an upstream, 0 while it is not well or put out.";
        let upstream_up =
            IntGaugeVec::new(Opts::new("latchgate_upstream_up", text), &["upstream", "target"])?;
        registry.register(Box::new(upstream_up.clone()))?;
        Ok(Self {
            requests: Family::register(
                registry,
                "latchgate_requests_total",
                "Requests answered, by route (none: no route matched) and HTTP status.",
                &["route", "code"],
                Counter::default,
            )?,
            request_duration: Family::register(
                registry,
                "latchgate_request_duration_seconds",
                "Time from the head of a request to the end of its answer.",
                &["route"],
                || Histogram::new(&REQUEST_BOUNDS),
            )?,
            limited: Family::register(
                registry,
                "latchgate_rate_limited_total",
                "Requests refused because their credential had used up its rate.",
                &["route"],
                Counter::default,
            )?,
            upstream_duration: Family::register(
                registry,
                "latchgate_upstream_duration_seconds",
                "Time from sending a request to an upstream to the head of its answer.",
                &["upstream"],
                || Histogram::new(&REQUEST_BOUNDS),
            )?,
            in_flight: Family::register(
                registry,
                "latchgate_upstream_requests_in_flight",
                "Requests sent to an upstream whose answer has not ended.",
                &["upstream"],
                Level::default,
            )?,
            connections: Family::register(
                registry,
                "latchgate_connections",
                "Open connections from clients.",
                &["listener"],
                Level::default,
            )?,
            upstream_up,
            targets: Mutex::default(),
        })
    }

    pub(super) fn route(&self, name: &str) -> Arc<RouteMetrics> {
        Arc::new(RouteMetrics {
            route: name.into(),
            requests: Arc::clone(&self.requests),
            codes: (0..=STATUSES).map(|_| OnceLock::new()).collect(),
            duration: self.request_duration.with(&[name]),
            limited: self.limited.with(&[name]),
        })
    }

    pub(super) fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        Arc::new(UpstreamMetrics {
            duration: self.upstream_duration.with(&[name]),
            in_flight: self.in_flight.with(&[name]),
        })
    }

    /// These targets are up or not; there are no others.
    pub(super) fn set_targets(&self, now: Vec<([String; 2], bool)>) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for [upstream, target] in targets.iter().filter(|before| !now.iter().any(|(now, _)| now == *before)) {
            // Only one that is not there could not be removed.
            let _ = self.upstream_up.remove_label_values(&[upstream, target]);
        }
        for ([upstream, target], up) in &now {
            self.upstream_up.with_label_values(&[upstream, target]).set(i64::from(*up));
        }
        *targets = now.into_iter().map(|(labels, _)| labels).collect();
    }

    pub(super) fn connections(&self, listener: &str) -> Arc<Level> {
        self.connections.with(&[listener])
    }
}

/// Half a millisecond to a minute, the default of `limits.request_timeout`.
pub(super) static REQUEST_BOUNDS: [Duration; 16] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
