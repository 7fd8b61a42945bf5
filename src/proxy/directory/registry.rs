//! Every record alive, by the credential and the organization it belongs to.
//!
//! Records are held in several places: the shared cache, each worker's own map, requests on their way. A change
//! must reach all of them, also those that the shared cache has evicted; so they are found here, by weak
//! references, and ended by their flag.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Record, Subject};
use crate::domain::{access::CredentialId, id::OrgId};

/// Dead references are swept after this many additions.
const SWEEP_AFTER: usize = 1024;

#[derive(Default)]
pub(super) struct Registry {
    index: Mutex<Index>,
    /// How often records were ended.
    endings: AtomicU64,
}

#[derive(Default)]
struct Index {
    /// The newest record of each credential.
    records: HashMap<CredentialId, Weak<Record>>,
    /// Older ones that somebody may still hold.
    older: HashMap<CredentialId, Vec<Weak<Record>>>,
    orgs: HashMap<OrgId, HashSet<CredentialId>>,
    added: usize,
}

impl Registry {
    /// From now on, changes reach this record.
    pub(super) fn add(&self, record: &Arc<Record>) {
        let mut index = self.index();
        let older = index.records.insert(record.id, Arc::downgrade(record));
        if let Some(older) = older.filter(|older| older.strong_count() > 0) {
            index.older.entry(record.id).or_default().push(older);
        }
        index.orgs.entry(record.principal.boundary.org()).or_default().insert(record.id);
        index.added += 1;
        if index.added >= SWEEP_AFTER.max(index.records.len()) {
            index.sweep();
        }
    }

    /// Ends what a change names, and returns what was ended.
    pub(super) fn end(&self, subject: Subject) -> Vec<Arc<Record>> {
        let mut index = self.index();
        let named = match subject {
            Subject::Credential(id) => vec![id],
            Subject::Org(org) => index.orgs.remove(&org).into_iter().flatten().collect(),
        };
        self.ended(named.into_iter().flat_map(|id| index.end(id)).collect())
    }

    /// Ends what speaks for people by somebody else's word, and returns what was ended.
    pub(super) fn end_vouched(&self) -> Vec<Arc<Record>> {
        let mut index = self.index();
        let ids = index.records.keys().filter(|id| matches!(id, CredentialId::Person(_)));
        let vouched: Vec<_> = ids.copied().collect();
        self.ended(vouched.into_iter().flat_map(|id| index.end(id)).collect())
    }

    /// Ends everything.
    pub(super) fn end_everything(&self) {
        let index = std::mem::take(&mut *self.index());
        self.ended(end_all(index.records.values().chain(index.older.values().flatten())));
    }

    /// Ends one that is not to be remembered.
    pub(super) fn end_this(&self, record: &Record) {
        record.end();
        self.endings.fetch_add(1, Ordering::Release);
    }

    /// Another number whenever records were ended: whoever holds some can let go of those.
    pub(super) fn endings(&self) -> u64 {
        self.endings.load(Ordering::Acquire)
    }

    fn ended(&self, records: Vec<Arc<Record>>) -> Vec<Arc<Record>> {
        self.endings.fetch_add(u64::from(!records.is_empty()), Ordering::Release);
        records
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn end(&mut self, id: CredentialId) -> Vec<Arc<Record>> {
        let older = self.older.remove(&id);
        end_all(self.records.remove(&id).iter().chain(older.iter().flatten()))
    }

    /// Costs as much as was added since the last sweep, so additions stay cheap on average.
    fn sweep(&mut self) {
        self.added = 0;
        self.older.retain(|_, records| {
            records.retain(|record| record.strong_count() > 0);
            !records.is_empty()
        });
        let Self { records, older, orgs, .. } = self;
        records.retain(|id, record| record.strong_count() > 0 || older.contains_key(id));
        orgs.retain(|_, members| {
            members.retain(|id| records.contains_key(id));
            !members.is_empty()
        });
    }
}

fn end_all<'a>(records: impl Iterator<Item = &'a Weak<Record>>) -> Vec<Arc<Record>> {
    let records: Vec<_> = records.filter_map(Weak::upgrade).collect();
    for record in &records {
        record.end();
    }
    records
}
