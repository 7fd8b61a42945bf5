//! Wrong secrets for keys that exist: several within a minute are somebody guessing (R002_15).
//!
//! Only those count: whoever tries prefixes that nobody holds guesses at nothing. What is said of it goes through a
//! bounded queue; whoever is being refused does not wait for it, and can tell nothing by it.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use super::directory::Record;
use crate::{
    domain::{access::CredentialId, id::OrgId, time::Clock},
    telemetry::metrics::Counter,
};

/// So many misses of one key ...
const MISSES: usize = 5;
/// ... within so long are told, and told again when they go on for as long.
const WINDOW: Duration = Duration::from_secs(60);
/// Keys whose misses are counted at once; beyond it those that nobody misses any more make room.
const CAPACITY: usize = 10_000;
/// Addresses that are told one by one.
const ADDRESSES: usize = 10;

/// Somebody guesses at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guessing {
    /// Its public characters.
    pub prefix: Box<str>,
    /// Its organization.
    pub org: OrgId,
    /// How many wrong secrets came for it, in the window or since it was last told.
    pub misses: u64,
    /// From where, as far as they were kept.
    pub addresses: Vec<IpAddr>,
    /// Whether there were more addresses than are kept.
    pub from_more: bool,
}

/// Counts misses of keys.
#[derive(Debug)]
pub struct Misses {
    clock: Clock,
    keys: Mutex<HashMap<CredentialId, Missed>>,
    tell: mpsc::Sender<Guessing>,
    dropped: Arc<Counter>,
}

/// The misses of one key.
#[derive(Debug, Default)]
struct Missed {
    /// When the last few were.
    last: VecDeque<Duration>,
    count: u64,
    addresses: Vec<IpAddr>,
    from_more: bool,
    told: Option<Duration>,
}

impl Misses {
    /// None yet. What is to be told goes to `tell`; what finds no room there is counted.
    pub fn new(clock: Clock, tell: mpsc::Sender<Guessing>, dropped: Arc<Counter>) -> Self {
        Self { clock, keys: Mutex::default(), tell, dropped }
    }

    /// One more wrong secret for this key.
    pub fn note(&self, key: &Record, client: IpAddr) {
        let now = self.clock.uptime();
        let mut keys = self.keys();
        if keys.len() >= CAPACITY && !keys.contains_key(&key.id) {
            keys.retain(|_, missed| !missed.is_over(now));
            if keys.len() >= CAPACITY {
                return;
            }
        }
        let missed = keys.entry(key.id).or_default();
        if missed.is_over(now) {
            *missed = Missed::default();
        }
        if !missed.another(now, client) {
            return;
        }
        let guessing = Guessing {
            prefix: key.principal.credential.clone(),
            org: key.principal.boundary.org(),
            misses: missed.count,
            addresses: std::mem::take(&mut missed.addresses),
            from_more: missed.from_more,
        };
        *missed = Missed { told: Some(now), ..Missed::default() };
        drop(keys);
        if self.tell.try_send(guessing).is_err() {
            self.dropped.inc();
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<CredentialId, Missed>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missed {
    /// Whether this is one to tell.
    fn another(&mut self, now: Duration, client: IpAddr) -> bool {
        if self.last.len() == MISSES {
            self.last.pop_front();
        }
        self.last.push_back(now);
        self.count += 1;
        if !self.addresses.contains(&client) {
            self.from_more = self.addresses.len() >= ADDRESSES;
            if !self.from_more {
                self.addresses.push(client);
            }
        }
        let since = |moment: &Duration| now.saturating_sub(*moment);
        let close =
            self.last.len() == MISSES && self.last.front().is_some_and(|first| since(first) <= WINDOW);
        close && self.told.as_ref().is_none_or(|told| since(told) >= WINDOW)
    }

    /// Whether the last miss, and the last word about it, is so long ago that it no longer matters.
    fn is_over(&self, now: Duration) -> bool {
        let newest = self.last.back().copied().max(self.told);
        newest.is_none_or(|newest| now.saturating_sub(newest) > WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::time::Timestamp, proxy::usage::tests::key};

    const SECOND: Duration = Duration::from_secs(1);

    struct Watch {
        clock: Clock,
        misses: Misses,
        told: mpsc::Receiver<Guessing>,
    }

    fn watch(room: usize) -> Watch {
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        let (tell, told) = mpsc::channel(room);
        Watch { misses: Misses::new(clock.clone(), tell, Arc::default()), clock, told }
    }

    impl Watch {
        /// So many misses, each so long after the one before.
        fn misses(&mut self, key: &Record, count: usize, apart: Duration) -> Vec<u64> {
            for number in 0..count {
                self.clock.advance(apart);
                self.misses.note(key, IpAddr::from([192, 0, 2, u8::try_from(number % 250).unwrap_or(0)]));
            }
            std::iter::from_fn(|| self.told.try_recv().ok()).map(|guessing| guessing.misses).collect()
        }
    }

    fn org() -> OrgId {
        OrgId::new(Timestamp::from_micros(1_800_000_000_000_000))
    }

    #[test]
    fn five_within_a_minute_are_told_once_and_again_when_they_go_on() {
        let (mut watch, key) = (watch(9), key(org()));
        assert_eq!(watch.misses(&key, 4, SECOND), [0; 0]);
        assert_eq!(watch.misses(&key, 1, SECOND), [5]);
        assert_eq!(watch.misses(&key, 50, SECOND), [0; 0], "the same minute");
        assert_eq!(watch.misses(&key, 20, SECOND), [60], "all since the last word");
        watch.clock.advance(SECOND * 61);
        assert_eq!(watch.misses(&key, 4, SECOND), [0; 0], "forgotten meanwhile");
        assert_eq!(watch.misses(&key, 1, SECOND), [5]);
    }

    #[test]
    fn the_window_slides_and_each_key_has_its_own() {
        let (mut watch, one, other) = (watch(9), key(org()), key(org()));
        assert_eq!(watch.misses(&one, 100, SECOND * 16), [0; 0], "four a minute, for ever");
        assert_eq!(watch.misses(&other, 4, SECOND), [0; 0]);
        assert_eq!(watch.misses(&one, 1, SECOND), [101], "the fifth within a minute");
        assert_eq!(watch.misses(&other, 1, SECOND), [5]);
    }

    #[test]
    fn addresses_are_told_once_each_and_so_many() {
        let (watch, key) = (&mut watch(9), key(org()));
        let from = |last: u8| IpAddr::from([192, 0, 2, last]);
        for last in [1, 1, 2, 2, 1] {
            watch.misses.note(&key, from(last));
        }
        let told = watch.told.try_recv().expect("an alert");
        assert_eq!((told.addresses, told.from_more), (vec![from(1), from(2)], false));
        for last in 0..100 {
            watch.misses.note(&key, from(last));
        }
        watch.clock.advance(WINDOW);
        watch.misses.note(&key, from(200));
        let told = watch.told.try_recv().expect("an alert");
        assert_eq!((told.misses, told.addresses.len(), told.from_more), (101, ADDRESSES, true));
    }

    /// Neither many keys nor many alerts take memory without a bound, and what is not told is counted.
    #[test]
    fn it_is_bounded() {
        let (watch, org) = (watch(1), org());
        let one = key(org);
        for _ in 0..CAPACITY + 10 {
            watch.misses.note(&key(org), IpAddr::from([192, 0, 2, 1]));
        }
        assert_eq!(watch.misses.keys().len(), CAPACITY);
        watch.clock.advance(SECOND * 61);
        for key in [&one, &key(org)] {
            (0..5).for_each(|_| watch.misses.note(key, IpAddr::from([192, 0, 2, 1])));
        }
        assert_eq!((watch.misses.keys().len(), watch.misses.dropped.total()), (2, 1));
    }
}
