//! What one worker knows by heart: credentials it has seen, in a plain map without a lock.
//!
//! A record found here is asked whether it is still live, one atomic load that sees a revocation made by any
//! thread. The map is a shortcut in front of the shared cache, so it may be emptied at any time.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use super::directory::Record;
use crate::domain::key::token::Digest;

/// Credentials known to one worker; beyond it the map starts anew.
const CAPACITY: usize = 16_384;

/// Proved credentials and their records.
#[derive(Debug, Default)]
pub struct Known(RefCell<HashMap<Digest, Arc<Record>, BuildHasherDefault<First8Bytes>>>);

impl Known {
    /// The record of a credential that was proved before, if nothing about it has changed.
    #[inline]
    pub fn find(&self, credential: &Digest, generation: u64) -> Option<Arc<Record>> {
        let known = self.0.borrow();
        known.get(credential).filter(|record| record.is_live(generation)).cloned()
    }

    /// Remembers a proved credential.
    pub fn remember(&self, credential: Digest, record: &Arc<Record>) {
        let mut known = self.0.borrow_mut();
        if known.len() >= CAPACITY && !known.contains_key(&credential) {
            known.clear();
        }
        known.insert(credential, Arc::clone(record));
    }

    /// Lets go of records that have ended, so that their memory is freed though nobody asks for them again.
    pub fn tidy(&self, generation: u64) {
        self.0.borrow_mut().retain(|_, record| record.is_live(generation));
    }
}

/// A digest is random already: eight of its bytes are as good a hash as any, and only proved credentials are
/// kept here, so nobody can choose colliding ones.
#[derive(Debug, Default)]
pub struct First8Bytes(u64);

impl Hasher for First8Bytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
