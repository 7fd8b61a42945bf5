//! Counts the uses of keys (R000_20): each worker for itself, without a shared line of memory, and once a second
//! for all. Where each use is to be an event of the audit trail (R002_16), each is noted beside the counts.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, sync::Arc};

use foldhash::fast::RandomState;
use http::HeaderValue;
use tokio::sync::mpsc;

use super::directory::Record;
use crate::domain::{
    id::{KeyId, OrgId},
    time::Timestamp,
};

/// Distinct keys and addresses that a worker counts between two deliveries; more go uncounted, and are said so.
const CAPACITY: usize = 65_536;
/// Uses that a worker notes one by one between two deliveries; of more it only knows how many and whose.
const NOTED: usize = 4_096;

/// What was counted between two deliveries.
#[derive(Debug, Default)]
pub struct Uses {
    /// How often each key was used.
    pub counts: Vec<Use>,
    /// Each use by itself, oldest first, where that is wanted.
    pub each: Vec<KeyUse>,
    /// How many found no room in `each`, by organization.
    pub unnamed: HashMap<OrgId, u64>,
}

/// How often one key was used from one address, and when last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The key.
    pub key: KeyId,
    /// From where; none when the address could not be told.
    pub client: Option<IpAddr>,
    /// How often.
    pub count: u64,
    /// When last.
    pub last: Timestamp,
}

/// One use of a key.
#[derive(Debug, Clone)]
pub struct KeyUse {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub client: Option<IpAddr>,
    /// The request, as answered in `X-Request-Id`.
    pub request_id: Option<HeaderValue>,
    /// The key.
    pub key: Arc<Record>,
}

/// The way to whoever writes uses down.
pub type Deliver = mpsc::UnboundedSender<Uses>;

/// The counts of one worker.
#[derive(Debug)]
pub struct Usage {
    counts: RefCell<Counts>,
    noted: RefCell<Noted>,
    deliver: Deliver,
}

/// By key and address: how often, and when last. Addresses can be chosen, by whoever has a key and a network of IPv6: so
/// the hash has a seed of its own.
type Counts = HashMap<(KeyId, Option<IpAddr>), (u64, Timestamp), RandomState>;

#[derive(Debug, Default)]
struct Noted {
    each: Vec<KeyUse>,
    unnamed: HashMap<OrgId, u64>,
}

impl Usage {
    /// Nothing counted yet.
    pub fn new(deliver: Deliver) -> Self {
        Self { counts: RefCell::default(), noted: RefCell::default(), deliver }
    }

    /// One more use.
    pub fn count(&self, key: KeyId, client: Option<IpAddr>, now: Timestamp) {
        let mut counts = self.counts.borrow_mut();
        if let Some((count, last)) = counts.get_mut(&(key, client)) {
            *count += 1;
            *last = now;
        } else if counts.len() < CAPACITY {
            counts.insert((key, client), (1, now));
        }
    }

    /// Notes a use that was counted.
    pub fn note(&self, used: KeyUse) {
        let mut noted = self.noted.borrow_mut();
        if noted.each.len() < NOTED {
            noted.each.push(used);
        } else {
            *noted.unnamed.entry(used.key.principal.boundary.org()).or_default() += 1;
        }
    }

    /// Hands everything counted to whoever writes it down.
    pub fn flush(&self) {
        let mut counts = self.counts.borrow_mut();
        if counts.is_empty() {
            return;
        }
        let Noted { each, unnamed } = self.noted.take();
        let counts = counts.drain();
        let counts = counts.map(|((key, client), (count, last))| Use { key, client, count, last }).collect();
        // Nobody listens any more only after the last flush of a shutdown.
        let _ = self.deliver.send(Uses { counts, each, unnamed });
    }
}

#[cfg(test)]
pub(in crate::proxy) mod tests {
    use std::{path::Path, sync::LazyLock};

    use super::*;
    use crate::{
        config::{Config, Environment},
        domain::{
            access::{CredentialId, Holder, Method, Networks, Principal, Rights},
            boundary::Boundary,
            key::state::Life,
            permission::PermissionSet,
        },
        proxy::{
            directory::{Entry, Lookup, Rules},
            identity::Shared,
        },
    };

    const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    static RULES: LazyLock<Rules> = LazyLock::new(|| {
        let config = Config::from_toml("", Path::new("latchgate.toml"), &Environment::empty());
        Rules::new(&config.expect("defaults").config, 1)
    });

    pub(in crate::proxy) fn key(org: OrgId) -> Arc<Record> {
        named(org, Lookup::Public("a1b2c3d4".into()))
    }

    /// A key that is found by this.
    pub(in crate::proxy) fn named(org: OrgId, lookup: Lookup) -> Arc<Record> {
        let id = CredentialId::Key(KeyId::new(NOW));
        let principal = Principal {
            method: Method::ApiKey,
            credential: "a1b2c3d4".into(),
            life: Life::begin(NOW, None).into(),
            activity: None,
            rights: Arc::new(Rights {
                boundary: Boundary::Org(org),
                team_projects: Box::default(),
                user: None,
                role: None,
                permissions: PermissionSet::EMPTY,
                holder: Holder::Present,
                networks: Networks::default(),
            }),
        };
        let entry = Entry {
            id,
            family: id,
            principal,
            rate: None,
            proof: None,
            signer: None,
            rotated_at: None,
            seen_at: None,
        };
        let words = Arc::new(Shared::new(&entry.principal, &RULES.profile, &RULES.identity));
        Arc::new(Record::new(entry, lookup, None, words, &RULES))
    }

    /// What finds no room is known by number and organization: nothing is left out without a word.
    #[test]
    fn too_many_uses_are_still_counted() {
        let (deliver, mut delivered) = mpsc::unbounded_channel();
        let usage = Usage::new(deliver);
        let (org, other) = (OrgId::new(NOW), OrgId::new(NOW));
        let (one, another) = (key(org), key(other));
        for key in std::iter::repeat_n(&one, NOTED + 3).chain([&another]) {
            usage.count(KeyId::new(NOW), None, NOW);
            usage.note(KeyUse { at: NOW, client: None, request_id: None, key: Arc::clone(key) });
        }
        usage.flush();
        let uses = delivered.try_recv().expect("a delivery");
        assert_eq!((uses.each.len(), uses.unnamed), (NOTED, HashMap::from([(org, 3), (other, 1)])));
        usage.flush();
        assert!(delivered.try_recv().is_err(), "nothing new, nothing delivered");
    }
}
