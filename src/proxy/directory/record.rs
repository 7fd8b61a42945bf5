//! A credential as the data plane holds it: everything a request needs, made once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{Entry, Lookup, Rules};
use crate::{
    domain::{
        access::{CredentialId, Principal},
        key::secret::{KeyHash, Mac, MacKey, MacVerdict},
        key::token::Presented,
    },
    proxy::{
        authenticate::signed::Signer,
        identity::{Identity, Shared},
        throttle::{Limiter, Sunset},
    },
};

/// What proves a key.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A MAC under the present secret: it says yes or no by itself, so nothing else is kept.
    Mac(Mac),
    /// The durable hash, of a key that has no such MAC yet.
    Hash(Box<Durable>),
}

/// The durable proof of a key.
#[derive(Debug, Clone)]
pub struct Durable {
    hash: KeyHash,
    imported: bool,
}

impl Proof {
    /// From what a row has; `imported`: its hash was made elsewhere.
    pub fn new(hash: KeyHash, imported: bool, mac: Option<Mac>, mac_key: &MacKey) -> Self {
        match mac.filter(|mac| mac_key.made(mac)) {
            Some(mac) => Self::Mac(mac),
            None => Self::Hash(Box::new(Durable { hash, imported })),
        }
    }

    /// Whether the row lacks a MAC under the present secret.
    pub const fn needs_mac(&self) -> bool {
        matches!(self, Self::Hash(_))
    }

    /// What can be said about a presented key without spending CPU: nothing, when only bcrypt can tell.
    pub fn quick(&self, key: &Presented<'_>, mac_key: &MacKey) -> Option<bool> {
        match self {
            Self::Mac(mac) => Some(mac_key.check(mac, key.text) == MacVerdict::Match),
            Self::Hash(durable) if durable.hash.is_slow() => None,
            Self::Hash(durable) => Some(durable.verify(key)),
        }
    }

    /// What the hash says, however long that takes.
    pub fn slow(&self, key: &Presented<'_>) -> bool {
        match self {
            Self::Mac(_) => false,
            Self::Hash(durable) => durable.verify(key),
        }
    }
}

impl Durable {
    fn verify(&self, key: &Presented<'_>) -> bool {
        self.hash.verify(key, self.imported)
    }
}

/// A credential in memory. Shared by all workers; a change of it or its organization ends it for all of them at
/// once, by one flag.
#[derive(Debug)]
pub struct Record {
    /// Which.
    pub id: CredentialId,
    /// By what it was found.
    pub lookup: Lookup,
    /// Who presents it.
    pub principal: Principal,
    /// What proves a key; none: it was found by the digest of all of it.
    pub proof: Option<Proof>,
    /// What verifies the requests of a key that signs; such a key is never accepted as it is.
    pub signer: Option<Box<Signer>>,
    /// The headers that tell the upstream who is calling.
    pub identity: Identity,
    /// Its rate limit, shared along a rotation chain.
    pub limiter: Option<Arc<Limiter>>,
    /// What a key in its grace period says on every answer.
    pub sunset: Option<Box<Sunset>>,
    /// The configuration that its permission bits and headers were made under.
    pub generation: u64,
    live: AtomicBool,
    /// Whether it was asked for since its memory last looked for one to forget.
    asked: AtomicBool,
    /// Whether a MAC for its row is on its way to the store.
    healing: AtomicBool,
}

impl Record {
    pub(in crate::proxy) fn new(
        entry: Entry,
        lookup: Lookup,
        limiter: Option<Arc<Limiter>>,
        words: Arc<Shared>,
        rules: &Rules,
    ) -> Self {
        Self {
            id: entry.id,
            lookup,
            identity: Identity::new(words, &entry.principal.credential),
            sunset: Sunset::new(entry.principal.life, entry.rotated_at).map(Box::new),
            principal: entry.principal,
            proof: entry.proof,
            signer: entry.signer.map(Box::new),
            limiter,
            generation: rules.generation,
            live: AtomicBool::new(true),
            asked: AtomicBool::new(false),
            healing: AtomicBool::new(false),
        }
    }

    /// Whether nothing that it was made from has changed.
    #[inline]
    pub fn is_live(&self, generation: u64) -> bool {
        self.live.load(Ordering::Acquire) && self.generation == generation
    }

    /// Whether its row is to get a MAC: said once, however often it is proved by its hash meanwhile.
    pub(in crate::proxy) fn wants_mac(&self) -> bool {
        self.proof.as_ref().is_some_and(Proof::needs_mac) && !self.healing.swap(true, Ordering::Relaxed)
    }

    /// Somebody asked for it.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did since this was last asked.
    pub(super) fn was_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Ends it, wherever it is held.
    pub(super) fn end(&self) {
        self.live.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::{secret::RootSecret, token::Digest};

    fn presented(text: &str) -> Presented<'_> {
        Presented { text, public: "", secret: text }
    }

    #[test]
    fn a_mac_under_the_present_secret_stands_for_the_hash_and_no_other_does() {
        let [ours, other] = [1, 2].map(|byte| MacKey::derive(&RootSecret::parse(&[byte; 32]).unwrap()));
        let hash = || KeyHash::Sha256(*Digest::of("osk_a").bytes());
        for (mac, needed) in
            [(None, true), (Some(other.mac("osk_a")), true), (Some(ours.mac("osk_a")), false)]
        {
            let proof = Proof::new(hash(), true, mac, &ours);
            assert_eq!(proof.needs_mac(), needed);
            assert_eq!(proof.quick(&presented("osk_a"), &ours), Some(true));
            assert_eq!(proof.quick(&presented("osk_b"), &ours), Some(false));
        }
        let slow = Proof::new(KeyHash::bcrypt("osk_a", 4).unwrap(), false, Some(other.mac("osk_a")), &ours);
        assert_eq!(slow.quick(&presented("osk_a"), &ours), None);
        assert!(slow.slow(&presented("osk_a")) && !slow.slow(&presented("osk_b")));
    }
}
