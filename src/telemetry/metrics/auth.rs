//! How callers proved themselves, and with what outcome.

use std::{
    array,
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus::Registry;

use super::{
    cells::{Counter, Histogram},
    family::Family,
};
use crate::domain::access::Method;

/// How a decision ended: `ok` or the code of the error that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome(u8);

impl Outcome {
    /// The request was let through.
    pub const OK: Self = Self(0);

    /// The outcome with this error code. A search through a short list: fit for refusals, and for a
    /// permitted request use [`Outcome::OK`]. A code that is not in the list counts as `other`: what a
    /// label may say is bounded here.
    pub fn of(code: &str) -> Self {
        let place = OUTCOMES.iter().position(|known| *known == code).unwrap_or(OUTCOMES.len() - 1);
        Self(u8::try_from(place).unwrap_or(u8::MAX))
    }

    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        OUTCOMES.get(usize::from(self.0)).copied().unwrap_or("other")
    }
}

/// `ok`, every code of the error table that can end a decision (the frequent ones first), and `other`.
const OUTCOMES: [&str; 28] = [
    "ok",
    "credential_missing",
    "credential_invalid",
    "credential_malformed",
    "credential_revoked",
    "credential_expired",
    "rate_limited",
    "too_many_failures",
    "scope_insufficient",
    "boundary_mismatch",
    "ip_not_allowed",
    "forbidden",
    "session_expired",
    "second_factor_required",
    "signature_required",
    "signature_invalid",
    "replay_detected",
    "credential_conflict",
    "path_ambiguous",
    "request_malformed",
    "store_unavailable",
    "issuer_unavailable",
    "overloaded",
    "not_found",
    "method_not_allowed",
    "body_too_large",
    "request_timeout",
    "other",
];

/// Counters by method and outcome, each made when it is first needed.
#[derive(Debug)]
pub struct AuthMetrics {
    totals: [[OnceLock<Arc<Counter>>; OUTCOMES.len()]; METHODS],
    durations: [OnceLock<Arc<Histogram>>; METHODS],
    total: Arc<Family<Counter>>,
    duration: Arc<Family<Histogram>>,
}

impl AuthMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            totals: array::from_fn(|_| array::from_fn(|_| OnceLock::new())),
            durations: array::from_fn(|_| OnceLock::new()),
            total: Family::register(
                registry,
                "latchgate_auth_total",
                "Decisions, by the kind of credential and by outcome (ok or the error code).",
                &["method", "outcome"],
                Counter::default,
            )?,
            duration: Family::register(
                registry,
                "latchgate_auth_duration_seconds",
                "Time to prove a credential and to decide.",
                &["method"],
                || Histogram::new(&BOUNDS),
            )?,
        })
    }

    /// A decision was made: once per request, with its final outcome, and how long it took. `method` is none
    /// for a request without a credential.
    pub fn decided(&self, method: Option<Method>, outcome: Outcome, took: Duration) {
        self.count(method, outcome);
        let (place, label) = method_label(method);
        self.durations[place].get_or_init(|| self.duration.with(&[label])).observe(took);
    }

    /// Counts an outcome alone, where nothing was timed.
    pub fn count(&self, method: Option<Method>, outcome: Outcome) {
        let (place, label) = method_label(method);
        let counter = &self.totals[place][usize::from(outcome.0).min(OUTCOMES.len() - 1)];
        counter.get_or_init(|| self.total.with(&[label, outcome.as_str()])).inc();
    }
}

/// A method's place in the tables, and its label.
pub(in crate::telemetry) const fn method_label(method: Option<Method>) -> (usize, &'static str) {
    match method {
        None => (0, "none"),
        Some(method) => (method as usize + 1, method.as_str()),
    }
}

const METHODS: usize = 6;

/// From a remembered proof (a microsecond) over a MAC to bcrypt behind a queue.
static BOUNDS: [Duration; 14] = [
    Duration::from_micros(1),
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_itself_and_a_strange_one_is_bounded() {
        for code in OUTCOMES {
            assert_eq!(Outcome::of(code).as_str(), code);
        }
        assert_eq!(Outcome::of("ok"), Outcome::OK);
        assert_eq!(Outcome::of("osk_made_up_by_a_client").as_str(), "other");
    }
}
