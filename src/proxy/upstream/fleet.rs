//! A backend as the whole node sees it: which places there are, and how each of them stands.
//!
//! Workers read it and never wait for it: the list of places is replaced as a whole, and its generation tells that it
//! was. What it knows is found out on the control runtime, by [`tend`](Fleets::tend).

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    member::Member,
    probe,
    resolve::{self, Resolve, Tending},
};
use crate::{
    config::{self, Health, Place, Protocol, Target},
    runtime::{
        dial::Address,
        tls::client::{H2, HTTP1, Rules, RulesError, Server},
    },
};

/// All backends of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Fleets(Vec<Arc<Fleet>>);

/// One backend.
pub struct Fleet {
    config: Arc<config::Upstream>,
    rules: Option<Rules>,
    servers: Box<[Option<Server>]>,
    members: ArcSwap<Vec<Arc<Member>>>,
    generation: AtomicU64,
    changed: watch::Sender<()>,
    /// No configuration names it any more, though somebody may still be at work with it.
    retired: AtomicBool,
    /// Half seconds.
    ticks: AtomicU32,
    /// Held while somebody decides whether one more can be put out.
    deciding: Mutex<()>,
}

/// Why a backend cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// What other servers are known by.
    #[error("{key}: {}{error}", file.as_ref().map(|file| format!("{} ", file.display())).unwrap_or_default())]
    Tls {
        /// The configuration key.
        key: String,
        /// The file that it names.
        file: Option<std::path::PathBuf>,
        /// Why.
        error: RulesError,
    },
    /// A name that no certificate can be for.
    #[error("{key}: no certificate can be for {name:?}: set tls.server_name to the name that it is for")]
    Name {
        /// The configuration key.
        key: String,
        /// The name.
        name: String,
    },
}

impl Fleets {
    /// The backends of a configuration. Those of `previous` that have not changed stay, with all that is known about
    /// them; files that they name are read again.
    pub fn new(config: &config::Config, previous: Option<&Self>) -> Result<Self, FleetError> {
        let known = previous.map_or(&[][..], |previous| &previous.0);
        let one = |(at, wanted): (usize, &Arc<config::Upstream>)| {
            let new = Fleet::new(at, wanted)?;
            Ok(known.iter().find(|known| known.is(&new)).map_or_else(|| Arc::new(new), Arc::clone))
        };
        config.upstreams.iter().enumerate().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Keeps what is known about those that `previous` has not had already up to date; those that are no longer there are
    /// left alone from now on.
    pub fn tend(&self, previous: Option<&Self>, tending: &Tending) {
        let known = previous.map_or(&[][..], |previous| &previous.0);
        for fleet in self.0.iter().filter(|fleet| !known.iter().any(|known| Arc::ptr_eq(known, fleet))) {
            resolve::begin(fleet, tending);
            probe::begin(fleet, tending);
        }
        for gone in known.iter().filter(|known| !self.0.iter().any(|fleet| Arc::ptr_eq(known, fleet))) {
            gone.retired.store(true, Ordering::Relaxed);
        }
    }

    /// The one with this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Fleet>> {
        self.0.iter().find(|fleet| fleet.config.name == name)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Fleet>> {
        self.0.iter()
    }
}

impl Fleet {
    /// A backend at the addresses that it has without asking anybody. `at`: its place in the configuration.
    pub fn new(at: usize, config: &Arc<config::Upstream>) -> Result<Self, FleetError> {
        let protocol = match config.protocol {
            Protocol::Http1 => HTTP1,
            Protocol::H2 => H2,
        };
        let secure = config.targets.iter().any(|target| target.tls);
        let rules = || {
            Rules::new(config.tls.ca.as_deref(), protocol).map_err(|error| FleetError::Tls {
                key: format!("upstream[{at}].tls.ca"),
                file: config.tls.ca.clone(),
                error,
            })
        };
        let rules = if secure { Some(rules()?) } else { None };
        let server = |(index, target): (usize, &Target)| {
            let Some(rules) = rules.as_ref().filter(|_| target.tls) else { return Ok(None) };
            let name = config.tls.server_name.as_deref().unwrap_or_else(|| target.authority.host());
            rules.server(name).map(Some).ok_or_else(|| FleetError::Name {
                key: format!("upstream[{at}].targets[{index}]"),
                name: name.to_owned(),
            })
        };
        let servers = config.targets.iter().enumerate().map(server).collect::<Result<Box<[_]>, _>>()?;
        let fleet = Self {
            config: Arc::clone(config),
            rules,
            servers,
            members: ArcSwap::default(),
            generation: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            retired: AtomicBool::new(false),
            ticks: AtomicU32::new(0),
            deciding: Mutex::default(),
        };
        for (index, target) in config.targets.iter().enumerate() {
            match &target.place {
                Place::Name(..) => {}
                Place::Address(address) => fleet.found(index, &[Address::Tcp(*address)]),
                Place::Socket(path) => fleet.found(index, &[Address::Unix(path.clone())]),
            }
        }
        Ok(fleet)
    }

    /// It, as long as it is to be looked after.
    pub(super) fn in_use(known: &Weak<Self>) -> Option<Arc<Self>> {
        known.upgrade().filter(|fleet| !fleet.retired.load(Ordering::Relaxed))
    }

    /// Its configuration.
    pub fn config(&self) -> &Arc<config::Upstream> {
        &self.config
    }

    fn is(&self, other: &Self) -> bool {
        let same_rules = match (&self.rules, &other.rules) {
            (None, None) => true,
            (Some(rules), Some(others)) => rules.are(others),
            _ => false,
        };
        self.config == other.config && same_rules
    }

    /// A place failed a request: it had no connection, no answer, or one that is none.
    pub(super) fn failed(&self, member: &Member) {
        let now = self.ticks.load(Ordering::Relaxed);
        if !member.standing.failed(now) {
            return;
        }
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members.load();
        let out = members.iter().filter(|member| member.standing.is_out()).count();
        let serve = |other: &&Arc<Member>| other.standing.is_well() && !other.standing.is_out();
        let serving = members.iter().filter(serve).count();
        if member.standing.is_out() || (out + 1) * 2 > members.len() || serving < 2 {
            return;
        }
        let seconds = member.standing.put_out(now) / 2;
        let Member { name, address, .. } = member;
        tracing::warn!(upstream = self.config.name, at = &**name, %address, seconds, "a target failed too often and is put out");
    }

    /// Half a second is over.
    pub(super) fn tick(&self) {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        for member in self.members.load().iter().filter(|member| member.standing.comes_back(now)) {
            let Member { name, address, .. } = &**member;
            tracing::info!(upstream = self.config.name, at = &**name, %address, "a target is tried again");
        }
    }

    /// A place was asked whether it is well.
    pub(super) fn asked(&self, member: &Member, outcome: Result<(), String>, health: &Health) {
        let Member { name, address, .. } = member;
        match (member.standing.asked(outcome.is_ok(), health), outcome) {
            (Some(_), Err(problem)) => {
                tracing::warn!(upstream = self.config.name, at = &**name, %address, problem, "a target is not well");
            }
            (Some(_), Ok(())) => {
                tracing::info!(upstream = self.config.name, at = &**name, %address, "a target is well again");
            }
            (None, _) => {}
        }
    }

    /// Each target, and whether requests go there.
    pub fn targets(&self) -> Vec<(String, bool)> {
        let members = self.members.load();
        let serves = |member: &Arc<Member>| member.standing.is_well() && !member.standing.is_out();
        let up = |at: usize| members.iter().any(|member| member.target == at && serves(member));
        self.config.targets.iter().enumerate().map(|(at, target)| (target.to_string(), up(at))).collect()
    }

    /// Connects to each target once, wherever it is, and says what is wrong with those that cannot be reached.
    pub async fn try_all(&self, resolver: &dyn Resolve) -> Vec<(String, Option<String>)> {
        let mut tried = Vec::new();
        for (index, target) in self.config.targets.iter().enumerate() {
            let problem = self.try_one(index, target, resolver).await.err();
            tried.push((target.to_string(), problem));
        }
        tried
    }

    async fn try_one(&self, index: usize, target: &Target, resolver: &dyn Resolve) -> Result<(), String> {
        if let Place::Name(name, port) = &target.place {
            let found = resolver.look_up(name, *port).await.map_err(|error| error.to_string())?;
            self.found(index, &found.into_iter().map(Address::Tcp).collect::<Vec<_>>());
        }
        let mut outcome = Err("the name has no address".to_owned());
        for member in self.members().iter().filter(|member| member.target == index) {
            outcome = match tokio::time::timeout(self.config.timeouts.connect, member.dial()).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("connecting took too long".to_owned()),
            };
        }
        outcome
    }

    /// Which list of places is in force.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The places.
    pub(super) fn members(&self) -> Arc<Vec<Arc<Member>>> {
        self.members.load_full()
    }

    /// Waits for the first place to become known, if there is none.
    pub(super) async fn known(&self, patience: Duration) {
        let mut changed = self.changed.subscribe();
        if self.members.load().is_empty() {
            let _ = tokio::time::timeout(patience, changed.changed()).await;
        }
    }

    /// These are the addresses of this target now. Places that stay keep what is known about them. Only one task asks
    /// for each target, but those of several targets may answer at once.
    pub(super) fn found(&self, target: usize, addresses: &[Address]) {
        let (Some(config), Some(server)) = (self.config.targets.get(target), self.servers.get(target)) else {
            return;
        };
        let mut differs = false;
        self.members.rcu(|before| {
            let member = |address: &Address| {
                let same = before.iter().find(|member| member.target == target && member.address == *address);
                same.map_or_else(
                    || Arc::new(Member::new(target, config, server.as_ref(), address.clone())),
                    Arc::clone,
                )
            };
            let others = before.iter().filter(|member| member.target != target).cloned();
            let mut now: Vec<_> = others.chain(addresses.iter().map(member)).collect();
            now.sort_by_key(|member| member.target);
            differs = now.len() != before.len()
                || now.iter().zip(before.iter()).any(|(now, before)| !Arc::ptr_eq(now, before));
            now
        });
        if differs {
            self.generation.fetch_add(1, Ordering::Release);
            self.changed.send_replace(());
        }
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("name", &self.config.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Balance, Timeouts, UpstreamTls};

    fn fleet(places: Vec<Place>) -> Fleet {
        let second = Duration::from_secs(1);
        let target = |place| Target { authority: "a".parse().unwrap(), place, tls: false };
        let config = config::Upstream {
            name: "a".to_owned(),
            targets: places.into_iter().map(target).collect(),
            balance: Balance::RoundRobin,
            protocol: Protocol::Http1,
            max_connections: None,
            timeouts: Timeouts { connect: second, response: second, idle: second },
            retries: 1,
            tls: UpstreamTls::default(),
            health: None,
        };
        Fleet::new(0, &Arc::new(config)).unwrap()
    }

    fn address(last: u8) -> Address {
        Address::Tcp(([192, 0, 2, last], 80).into())
    }

    #[test]
    fn places_come_and_go_with_their_addresses() {
        let fleet = fleet(vec![Place::Name("a".to_owned(), 80), Place::Address(([192, 0, 2, 9], 80).into())]);
        assert_eq!(fleet.members().len(), 1, "the name is not known yet");
        fleet.found(0, &[address(1), address(2)]);
        let (before, generation) = (fleet.members(), fleet.generation());
        fleet.found(0, &[address(1), address(2)]);
        assert_eq!(fleet.generation(), generation, "nothing has changed");
        fleet.found(0, &[address(2), address(3)]);
        let now = fleet.members();
        let shown: Vec<_> = now.iter().map(|member| member.address.clone()).collect();
        assert_eq!(shown, [address(2), address(3), address(9)]);
        assert!(Arc::ptr_eq(&now[0], &before[1]) && fleet.generation() > generation);
        fleet.found(0, &[]);
        assert_eq!(fleet.targets().iter().map(|(_, up)| *up).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn half_of_the_places_may_be_out_and_never_the_last() {
        let places = (1..=3).map(|last| Place::Address(([192, 0, 2, last], 80).into())).collect();
        let fleet = fleet(places);
        for member in fleet.members().iter() {
            (0..10).for_each(|_| fleet.failed(member));
        }
        let up = |fleet: &Fleet| fleet.targets().iter().filter(|(_, up)| *up).count();
        assert_eq!(up(&fleet), 2, "one of three");
        (0..10).for_each(|_| fleet.tick());
        assert_eq!(up(&fleet), 3, "its time is over");
    }
}
