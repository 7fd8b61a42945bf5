//! Every record alive, by the credential and the organization it belongs to.
//!
//! Records are held in several places: the shared cache, each worker's own map, requests on their way. A change
//! must reach all of them, also those that the shared cache has evicted; so they are found here, by weak
//! references, and ended by their flag.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{Record, Subject};
use crate::domain::{access::CredentialId, id::OrgId};

/// Dead references are swept after this many additions.
const SWEEP_AFTER: usize = 1024;

#[derive(Default)]
pub(super) struct Registry(Mutex<Index>);

#[derive(Default)]
struct Index {
    records: HashMap<CredentialId, Vec<Weak<Record>>>,
    orgs: HashMap<OrgId, HashSet<CredentialId>>,
    added: usize,
}

impl Registry {
    /// From now on, changes reach this record.
    pub(super) fn add(&self, record: &Arc<Record>) {
        let mut index = self.index();
        index.records.entry(record.id).or_default().push(Arc::downgrade(record));
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
        named.iter().filter_map(|id| index.records.remove(id)).flat_map(|records| end_all(&records)).collect()
    }

    /// Ends what speaks for people by somebody else's word, and returns what was ended.
    pub(super) fn end_vouched(&self) -> Vec<Arc<Record>> {
        let mut index = self.index();
        let vouched = index.records.extract_if(|id, _| matches!(id, CredentialId::Person(_)));
        vouched.flat_map(|(_, records)| end_all(&records)).collect()
    }

    /// Ends everything.
    pub(super) fn end_everything(&self) {
        let index = std::mem::take(&mut *self.index());
        for records in index.records.values() {
            end_all(records);
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Costs as much as was added since the last sweep, so additions stay cheap on average.
    fn sweep(&mut self) {
        self.added = 0;
        self.records.retain(|_, records| {
            records.retain(|record| record.strong_count() > 0);
            !records.is_empty()
        });
        let Self { records, orgs, .. } = self;
        orgs.retain(|_, members| {
            members.retain(|id| records.contains_key(id));
            !members.is_empty()
        });
    }
}

fn end_all(records: &[Weak<Record>]) -> Vec<Arc<Record>> {
    let records: Vec<_> = records.iter().filter_map(Weak::upgrade).collect();
    for record in &records {
        record.end();
    }
    records
}
