//! `[auth]`: what is remembered about keys, for how long unconfirmed, and how much guessing is borne.

use std::{
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use super::{
    quantity::{Humane, timeout},
    raw::Section,
};

/// Settings of authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Keys held in memory.
    pub cache_capacity: NonZeroU64,
    /// No node that reaches the store serves a revoked key for longer, whatever message is lost.
    pub revocation_bound: Duration,
    /// How long known keys are served while the store is out of reach; then 503.
    pub max_staleness: Duration,
    /// Failures borne per minute before wrong secrets are refused unseen.
    pub failures_per_minute: FailureBudget,
}

/// Failures per minute; the right secret passes in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureBudget {
    /// From one client address.
    pub ip: NonZeroU32,
    /// At one key's public prefix.
    pub prefix: NonZeroU32,
}

impl Auth {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let auth = Self {
            cache_capacity: section
                .read("cache_capacity", "100000", |item| item.number(1..=100_000_000))
                .and_then(NonZeroU64::new)
                .unwrap_or(CACHE_CAPACITY),
            revocation_bound: section
                .read("revocation_bound", r#""5s""#, timeout)
                .unwrap_or(REVOCATION_BOUND),
            max_staleness: section.read("max_staleness", r#""15m""#, timeout).unwrap_or(MAX_STALENESS),
            failures_per_minute: section.section("failures_per_minute", FailureBudget::read),
        };
        if auth.revocation_bound > auth.max_staleness {
            let (bound, staleness) = (Humane(auth.revocation_bound), Humane(auth.max_staleness));
            section.refuse(
                "revocation_bound",
                format!("{bound} is longer than auth.max_staleness ({staleness}): it could not be kept"),
                r#""5s""#,
            );
        }
        auth
    }
}

impl FailureBudget {
    fn read(section: &mut Section<'_>) -> Self {
        // Zero would mean either "refuse all" or "bear all"; neither is a budget.
        let mut budget = |key, example, default| {
            let given = section.read(key, example, |item| item.number(1..=1_000_000));
            given.and_then(NonZeroU32::new).unwrap_or(default)
        };
        Self {
            ip: budget("ip", "60", FAILURES_OF_ADDRESS),
            prefix: budget("prefix", "20", FAILURES_OF_PREFIX),
        }
    }
}

const CACHE_CAPACITY: NonZeroU64 = NonZeroU64::MIN.saturating_add(99_999);
const REVOCATION_BOUND: Duration = Duration::from_secs(5);

/// Long, because the store is a file beside the program: when it cannot be read, no other node can revoke either.
const MAX_STALENESS: Duration = Duration::from_secs(15 * 60);

const FAILURES_OF_ADDRESS: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
const FAILURES_OF_PREFIX: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
