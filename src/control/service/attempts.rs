//! How often somebody may try to sign in: passwords are weaker than keys, so guessing has to be slow.
//!
//! An address may be wrong as often in a minute as with keys. An account may be wrong ten times in a row at any pace,
//! then once a minute, and after a hundred in a row once an hour (NIST SP 800-63B-4 section 3.2.2). Nobody is locked
//! out for ever, but somebody who guesses all day could use up every try; so an address from which the account has
//! signed in before has tries of its own, which no stranger can spend.
//!
//! Accounts that do not exist are counted alike, or the counting would tell which do. All of it is this node's memory,
//! bounded, and gone with a restart.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::{key::token::Digest, time::Clock};

/// Accounts, addresses and known pairs of both that are remembered at once.
const CAPACITY: u64 = 100_000;
/// Wrong in a row at any pace.
const FREE: u32 = 10;
/// Wrong in a row at the first pace.
const SLOW: u32 = 100;
const FIRST_PACE: Duration = Duration::from_secs(60);
const LAST_PACE: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// The tries of everybody. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Attempts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    addresses: moka::sync::Cache<IpAddr, Arc<Mutex<Bucket>>>,
    accounts: moka::sync::Cache<Who, Arc<Mutex<Row>>>,
    known: moka::sync::Cache<(Digest, IpAddr), ()>,
}

/// Whose row of failures it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    /// An account's, from wherever it never signed in.
    Strangers(Digest),
    /// An account's, from an address that it is known at.
    Known(Digest, IpAddr),
}

/// Failures in a row.
#[derive(Debug, Default)]
struct Row {
    failures: u32,
    /// Uptime of the last.
    last: Duration,
}

/// Failures of an address, which a minute makes good.
#[derive(Debug, Default)]
struct Bucket {
    level: f64,
    /// Uptime at which the level was so high.
    at: Duration,
}

/// A try that is under way: counted as wrong until it is known to be right.
#[derive(Debug)]
pub(super) struct Attempt {
    attempts: Attempts,
    account: Digest,
    address: IpAddr,
    row: Arc<Mutex<Row>>,
    bucket: Arc<Mutex<Bucket>>,
    /// Uptime at which it began, and of the failure before it.
    at: Duration,
    before: Duration,
}

/// An answer that an address has brought from an identity provider: counted as wrong until it is known not to be.
#[derive(Debug)]
pub struct Brought(Arc<Mutex<Bucket>>);

/// Too often: wait so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait(pub(super) Duration);

impl Attempts {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            addresses: moka::sync::Cache::new(CAPACITY),
            accounts: moka::sync::Cache::new(CAPACITY),
            known: moka::sync::Cache::new(CAPACITY),
        }))
    }

    /// One more try at this account from this address.
    pub(super) fn begin(
        &self,
        email: &str,
        address: IpAddr,
        per_address: NonZeroU32,
    ) -> Result<Attempt, Wait> {
        let account = Digest::of(&crate::store::users::folded(email.trim()));
        let address = network_of(address);
        let known = self.0.known.contains_key(&(account, address));
        let who = if known { Who::Known(account, address) } else { Who::Strangers(account) };
        let bucket = self.0.addresses.get_with(address, Arc::default);
        let row = self.0.accounts.get_with(who, Arc::default);
        let now = self.0.clock.uptime();
        let before = {
            let mut bucket = lock(&bucket);
            bucket.has_room(now, per_address)?;
            let mut row = lock(&row);
            let passed = now.saturating_sub(row.last);
            if let Some(rest) = row.pace().checked_sub(passed).filter(|rest| !rest.is_zero()) {
                return Err(Wait(rest));
            }
            bucket.level += 1.0;
            row.failures = row.failures.saturating_add(1);
            std::mem::replace(&mut row.last, now)
        };
        Ok(Attempt { attempts: self.clone(), account, address, row, bucket, at: now, before })
    }

    /// One more answer of an identity provider from this address: each makes us ask the provider.
    pub(super) fn bring(&self, address: IpAddr, per_address: NonZeroU32) -> Result<Brought, Wait> {
        let bucket = self.0.addresses.get_with(network_of(address), Arc::default);
        {
            let mut bucket = lock(&bucket);
            bucket.has_room(self.0.clock.uptime(), per_address)?;
            bucket.level += 1.0;
        }
        Ok(Brought(bucket))
    }
}

impl Attempt {
    /// It was right: the account begins anew, and is known here from now on.
    pub(super) fn succeeded(self) {
        lock(&self.row).failures = 0;
        self.give_back();
        self.attempts.0.known.insert((self.account, self.address), ());
    }

    /// It was not judged to its end, which is nobody's failure: the next one need not wait for it.
    pub(super) fn withdrawn(self) {
        let mut row = lock(&self.row);
        row.failures = row.failures.saturating_sub(1);
        if row.last == self.at {
            row.last = self.before;
        }
        drop(row);
        self.give_back();
    }

    /// From where.
    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    fn give_back(&self) {
        lock(&self.bucket).give_back();
    }
}

impl Brought {
    /// It was right, or could not be judged.
    pub fn withdrawn(self) {
        lock(&self.0).give_back();
    }
}

impl Row {
    const fn pace(&self) -> Duration {
        match self.failures {
            0..FREE => Duration::ZERO,
            FREE..SLOW => FIRST_PACE,
            _ => LAST_PACE,
        }
    }
}

impl Bucket {
    /// Whether one more may be wrong.
    fn has_room(&mut self, now: Duration, per_minute: NonZeroU32) -> Result<(), Wait> {
        self.drain(now, per_minute);
        if self.level + 1.0 > f64::from(per_minute.get()) { Err(Wait(MINUTE)) } else { Ok(()) }
    }

    fn give_back(&mut self) {
        self.level = (self.level - 1.0).max(0.0);
    }

    fn drain(&mut self, now: Duration, per_minute: NonZeroU32) {
        let minutes = now.saturating_sub(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.level = (self.level - minutes * f64::from(per_minute.get())).max(0.0);
        self.at = now;
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

/// Stands for whoever has no address that could be told.
pub(super) const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    const ANA: &str = "ana@acme.example";

    fn attempts() -> (Attempts, Clock) {
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        (Attempts::new(clock.clone()), clock)
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    fn many() -> NonZeroU32 {
        NonZeroU32::new(1_000).unwrap()
    }

    fn wrong(attempts: &Attempts, from: u32) -> Result<(), Wait> {
        attempts.begin(ANA, address(from), many()).map(drop)
    }

    #[test]
    fn guessing_at_an_account_slows_down_to_a_trickle() {
        let (attempts, clock) = attempts();
        for n in 0..FREE {
            assert_eq!(wrong(&attempts, n), Ok(()), "{n}");
        }
        assert_eq!(wrong(&attempts, 99), Err(Wait(FIRST_PACE)), "wherever it comes from");
        for n in FREE..SLOW {
            clock.advance(FIRST_PACE);
            assert_eq!(wrong(&attempts, n), Ok(()), "{n}");
        }
        clock.advance(FIRST_PACE);
        assert_eq!(wrong(&attempts, 1), Err(Wait(LAST_PACE.saturating_sub(FIRST_PACE))));
        clock.advance(LAST_PACE);
        assert_eq!(wrong(&attempts, 1), Ok(()));
        assert!(attempts.begin("Bo@acme.example", address(1), many()).is_ok(), "others are not concerned");
        assert!(attempts.begin(" ANA@acme.example", address(1), many()).is_err(), "the same account");
    }

    #[test]
    fn the_right_person_gets_in_where_they_are_known() {
        let (attempts, _) = attempts();
        attempts.begin(ANA, address(1), many()).unwrap().succeeded();
        for n in 0..FREE {
            assert_eq!(wrong(&attempts, 100 + n), Ok(()));
        }
        assert!(wrong(&attempts, 100).is_err());
        for _ in 0..3 {
            attempts.begin(ANA, address(1), many()).unwrap().succeeded();
        }
        for _ in 0..FREE {
            assert_eq!(wrong(&attempts, 1), Ok(()));
        }
        assert!(wrong(&attempts, 1).is_err(), "guessing from there is slow too");
    }

    #[test]
    fn an_address_has_a_budget_that_a_minute_makes_good() {
        let (attempts, clock) = attempts();
        let three = NonZeroU32::new(3).unwrap();
        let mut names = (0..).map(|n| format!("{n}@acme.example"));
        let mut from = |n| attempts.begin(&names.next().unwrap(), address(n), three);
        for _ in 0..3 {
            from(1).unwrap();
        }
        assert!(from(1).is_err());
        assert!(from(2).is_ok());
        clock.advance(Duration::from_secs(20));
        from(1).unwrap().succeeded();
        from(1).unwrap().withdrawn();
        assert!(from(1).is_ok());
        assert!(from(1).is_err());
    }

    #[test]
    fn what_could_not_be_judged_is_no_failure() {
        let (attempts, _) = attempts();
        for _ in 0..FREE * 3 {
            attempts.begin(ANA, address(1), many()).unwrap().withdrawn();
        }
    }

    /// Whoever is right about the first half of a sign-in need not wait a minute for the second.
    #[test]
    fn what_was_withdrawn_delays_nobody() {
        let (attempts, clock) = attempts();
        for n in 0..FREE {
            assert_eq!(wrong(&attempts, n), Ok(()));
        }
        clock.advance(FIRST_PACE);
        for _ in 0..3 {
            attempts.begin(ANA, address(1), many()).unwrap().withdrawn();
        }
        assert_eq!(wrong(&attempts, 1), Ok(()));
        assert_eq!(wrong(&attempts, 1), Err(Wait(FIRST_PACE)));
    }
}
