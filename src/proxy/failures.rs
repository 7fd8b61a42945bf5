//! How often an address, and a prefix, may be wrong.
//!
//! Budgets refuse only what was wrong anyway: the right secret always passes, so nobody is locked out by guessing.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
};

use governor::{
    Quota, RateLimiter, clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use crate::{config, domain::time::Clock};

/// Addresses and prefixes whose failures are counted at once; the longest silent ones make room.
const FAILING_CAPACITY: u64 = 100_000;
/// So many budgets of failures in a minute are a flood.
const FLOOD: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Rates are judged by the monotonic clock, so that setting the wall clock gives nobody a free burst.
#[derive(Debug, Clone)]
struct Uptime(Clock);

impl clock::Clock for Uptime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.uptime().into()
    }
}

type Budget = RateLimiter<NotKeyed, InMemoryState, Uptime, NoOpMiddleware<Nanos>>;

/// How often an address, and a prefix, may be wrong.
#[derive(Debug)]
pub struct Failures {
    clock: Clock,
    per_address: NonZeroU32,
    per_prefix: NonZeroU32,
    addresses: moka::sync::Cache<IpAddr, Arc<Budget>>,
    prefixes: moka::sync::Cache<String, Arc<Budget>>,
    /// Of refusals that are answered at once, by address.
    prompt: moka::sync::Cache<IpAddr, Arc<Budget>>,
}

impl Failures {
    /// Full budgets for everybody.
    pub fn new(budget: config::FailureBudget, clock: Clock) -> Self {
        Self {
            clock,
            per_address: budget.ip,
            per_prefix: budget.prefix,
            addresses: moka::sync::Cache::new(FAILING_CAPACITY),
            prefixes: moka::sync::Cache::new(FAILING_CAPACITY),
            prompt: moka::sync::Cache::new(FAILING_CAPACITY),
        }
    }

    /// Counts a failure against an address and, if the credential named one, a prefix. False: over budget.
    pub fn allow(&self, address: IpAddr, prefix: Option<&str>) -> bool {
        let address = self.of_address(&self.addresses, address, self.per_address);
        let prefix = prefix
            .map(|prefix| self.prefixes.get_with_by_ref(prefix, || Arc::new(self.budget(self.per_prefix))));
        // Both are charged, whatever the other says.
        let (address, prefix) = (address.check().is_ok(), prefix.is_none_or(|budget| budget.check().is_ok()));
        address && prefix
    }

    /// Counts the refusal of a credential that was one too many, or that has ended. False: it is one of a flood.
    pub fn answers_promptly(&self, address: IpAddr) -> bool {
        self.of_address(&self.prompt, address, self.per_address.saturating_mul(FLOOD)).check().is_ok()
    }

    fn of_address(
        &self,
        budgets: &moka::sync::Cache<IpAddr, Arc<Budget>>,
        address: IpAddr,
        per_minute: NonZeroU32,
    ) -> Arc<Budget> {
        budgets.get_with(network_of(address), || Arc::new(self.budget(per_minute)))
    }

    fn budget(&self, per_minute: NonZeroU32) -> Budget {
        RateLimiter::direct_with_clock(Quota::per_minute(per_minute), Uptime(self.clock.clone()))
    }
}

/// What counts as one address: a subscriber holds a whole /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))
    }

    #[test]
    fn failures_are_counted_by_address_and_by_prefix() {
        let two = NonZeroU32::new(2).unwrap();
        let budget = config::FailureBudget { ip: NonZeroU32::new(3).unwrap(), prefix: two };
        let failures = Failures::new(budget, clock());
        let address = |n: u8| IpAddr::from([203, 0, 113, n]);
        assert!(failures.allow(address(1), Some("a")) && failures.allow(address(2), Some("a")));
        assert!(!failures.allow(address(3), Some("a")), "the prefix is over its budget from everywhere");
        assert!(failures.allow(address(3), Some("b")));
        assert!(failures.allow(address(3), None));
        assert!(!failures.allow(address(3), None), "the address is over its budget for everything");
    }

    #[test]
    fn ten_budgets_of_refusals_are_answered_promptly() {
        let one = NonZeroU32::MIN;
        let failures = Failures::new(config::FailureBudget { ip: one, prefix: one }, clock());
        let prompt = |last: u8| failures.answers_promptly(IpAddr::from([203, 0, 113, last]));
        assert_eq!((0..30).filter(|_| prompt(1)).count(), 10);
        assert!(prompt(2), "each address has its own");
        assert!(failures.allow(IpAddr::from([203, 0, 113, 1]), None), "a count of its own, too");
    }

    #[test]
    fn a_whole_64_is_one_address() {
        let one: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network_of(one), network_of(other));
        assert_eq!(network_of("::ffff:1.2.3.4".parse().unwrap()), IpAddr::from([1, 2, 3, 4]));
    }
}
