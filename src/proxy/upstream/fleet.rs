//! A backend as the whole node sees it: which places there are, and how each of them stands.
//!
//! Workers read it and never wait for it: the list of places is replaced as a whole, and its generation tells that it
//! was. What it knows is found out on the control runtime, by [`tend`](Fleets::tend).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    member::Member,
    resolve::{self, Resolve, Tending},
};
use crate::{
    config::{self, Place, Protocol, Target},
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

    /// Keeps what is known about those that `previous` has not had already up to date, as long as they are in use.
    pub fn tend(&self, previous: Option<&Self>, tending: &Tending) {
        let known = previous.map_or(&[][..], |previous| &previous.0);
        for fleet in self.0.iter().filter(|fleet| !known.iter().any(|known| Arc::ptr_eq(known, fleet))) {
            resolve::begin(fleet, tending);
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
