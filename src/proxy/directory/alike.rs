//! What credentials have in common is in memory once: most keys of a team may the same, from the same networks, and are
//! told of in the same words.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::Rules;
use crate::{
    domain::access::{Method, Principal, Rights},
    proxy::identity::Shared,
};

/// So many credentials share the words that tell of them. Each request counts up and down how often a word is held; were
/// one the same for all of an organization, its cores would wait for each other.
const SHARING: usize = 64;
/// What nobody shares any more is swept after this many additions.
const SWEEP_AFTER: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Alike(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The words of credentials with these rights under one generation of rules.
    words: HashMap<(u64, Method, Arc<Rights>), Arc<Shared>>,
    added: usize,
}

impl Alike {
    /// Gives the principal the rights that others like it hold, and says what is told of them all.
    pub(super) fn join(&self, principal: &mut Principal, rules: &Rules) -> Arc<Shared> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (rules.generation, principal.method, Arc::clone(&principal.rights));
        if let Some(((_, _, rights), words)) = known.words.get_key_value(&name) {
            principal.rights = Arc::clone(rights);
            if Arc::strong_count(words) <= SHARING {
                return Arc::clone(words);
            }
        }
        let words = Arc::new(Shared::new(principal, &rules.profile, &rules.identity));
        known.words.insert(name, Arc::clone(&words));
        known.added += 1;
        if known.added >= SWEEP_AFTER.max(known.words.len()) {
            known.added = 0;
            known.words.retain(|_, words| Arc::strong_count(words) > 1);
        }
        words
    }
}
