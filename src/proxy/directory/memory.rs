//! A directory in memory, for benches and for tests of the path without a store.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Answer, Change, Changes, Directory, Entry, Lookup, Proof, Rules, Subject};
use crate::{
    domain::{
        access::CredentialId,
        id::{ChangeId, KeyId},
        key::{secret::Mac, token::Digest},
        time::Timestamp,
    },
    proxy::authenticate::replay::{Nonce, Nonces, Taken},
};

/// Credentials by name, and the changes made to them.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Lookup, Entry>,
    changes: Vec<Change>,
    nonces: HashSet<(KeyId, Digest)>,
}

impl MemoryDirectory {
    /// Puts one in, or replaces it; whoever follows hears of it.
    pub fn put(&self, lookup: Lookup, entry: Entry, at: Timestamp) {
        let mut state = self.state();
        state.changes.push(Change { subject: Subject::Credential(entry.id), at });
        state.entries.insert(lookup, entry);
        drop(state);
        self.news.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn latest(&self) -> ChangeId {
        ChangeId(i64::try_from(self.changes.len()).unwrap_or(i64::MAX))
    }
}

impl Directory for MemoryDirectory {
    fn find<'a>(&'a self, lookup: &'a Lookup, _: &'a Rules) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.state().entries.get(lookup).cloned()) })
    }

    fn latest(&self) -> Answer<'_, ChangeId> {
        Box::pin(async move { Ok(self.state().latest()) })
    }

    fn changes(&self, after: ChangeId) -> Answer<'_, Changes> {
        Box::pin(async move {
            let state = self.state();
            let heard = usize::try_from(after.0).unwrap_or(0);
            let changed = state.changes.get(heard..).unwrap_or_default().to_vec();
            Ok(Changes::These { changed, upto: state.latest() })
        })
    }

    fn news(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.news.notified())
    }

    fn heal(&self, key: KeyId, mac: Mac) {
        let mut state = self.state();
        state
            .entries
            .values_mut()
            .filter(|entry| entry.id == CredentialId::Key(key))
            .filter_map(|entry| entry.proof.as_mut())
            .for_each(|proof| *proof = Proof::Mac(mac));
    }
}

/// For as long as this is there.
impl Nonces for MemoryDirectory {
    fn take(&self, nonce: Nonce) -> Answer<'_, Taken> {
        let new = self.state().nonces.insert((nonce.key, nonce.digest));
        Box::pin(std::future::ready(Ok(if new { Taken::New } else { Taken::Again })))
    }
}
